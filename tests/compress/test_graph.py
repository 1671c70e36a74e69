"""The one place that reads Keras's private graph: these fail first when Keras changes it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dlopt.compress import graph as graphs

pytestmark = pytest.mark.both_backends


def branching():
    """Two named inputs, a layer used twice, a keras operation, two outputs."""
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    shared = layers.Dense(3, name="shared")
    a, b = shared(inputs["a"]), shared(inputs["b"])
    total = layers.Add(name="total")([a, b])
    return keras.Model(inputs, {"total": total, "twice": a * 2.0})


def names(found):
    return [node.operation.name for node in found]


def test_nodes_run_in_order_and_know_their_readers_and_makers():
    graph = graphs.functional(branching())
    found = list(graphs.nodes(graph))
    assert sorted(names(found)) == ["multiply", "shared", "shared", "total"]
    made = {id(tensor) for tensor in graph.inputs}
    for node in found:
        assert all(id(tensor) in made for tensor in node.input_tensors)
        made |= {id(tensor) for tensor in node.outputs}

    readers, makers = graphs.consumers(graph), graphs.producers(graph)
    total = next(node for node in found if node.operation.name == "total")
    assert readers[id(total.outputs[0])] == [None]
    assert names(makers[id(tensor)] for tensor in total.input_tensors) == ["shared", "shared"]
    first = next(n for n in found if n.operation.name == "shared" and len(readers[id(n.outputs[0])]) == 2)
    assert sorted(names(readers[id(first.outputs[0])])) == ["multiply", "total"]


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_rebuilding_with_the_same_operations_is_the_same_model(kind):
    if kind == "functional":
        model = branching()
        x = {name: np.random.default_rng(i).normal(size=(5, 4)).astype("float32") for i, name in enumerate("ab")}
    else:
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5), layers.Dense(2)])
        x = np.ones((5, 4), "float32")
    rebuilt = graphs.rebuild(
        graphs.functional(model), lambda tensor: tensor, lambda node, args, kwargs: node.operation(*args, **kwargs)
    )
    expected, got = model.predict(x, verbose=0), rebuilt.predict(x, verbose=0)
    keras.tree.assert_same_structure(expected, got)
    for a, b in zip(keras.tree.flatten(expected), keras.tree.flatten(got), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_subclassed_or_unbuilt_model_has_no_graph():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    assert graphs.functional(Own()) is None
    assert graphs.functional(keras.Sequential([layers.Dense(1)])) is None
