"""Walking and rebuilding a functional model's graph.

Keras keeps the graph (`_nodes_by_depth`, `Node.arguments`) private, so everything that reads it lives here and
`tests/compress/test_graph.py` fails first when Keras changes it.
"""

import itertools

import keras


def functional(model):
    """The functional graph behind a Sequential or functional `model`; `None` for a subclassed or unbuilt one."""
    graph = getattr(model, "_functional", model) if isinstance(model, keras.Sequential) else model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def nodes(graph):
    """The graph's operation calls in the order they run, without the inputs."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def consumers(graph):
    """Maps the `id` of every tensor to the nodes that read it; the model's outputs are read by `None`."""
    readers = {}
    for node in nodes(graph):
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    for tensor in graph.outputs:
        readers.setdefault(id(tensor), []).append(None)
    return readers


def producers(graph):
    """Maps the `id` of every tensor to the node that makes it; the model's inputs have none."""
    return {id(tensor): node for node in nodes(graph) for tensor in node.outputs}


def rebuild(graph, convert_input, convert_node, name=None, like=None):
    """A new functional model with the same wiring and other operations.

    Args:
        graph: what `functional` returned.
        convert_input: called with each new `keras.Input`, returns the tensor its readers get.
        convert_node: called with `(node, args, kwargs)`, the arguments already in the new graph; returns the new
            outputs.
        name: name of the new model.
        like: tensors with the shapes and types of the new inputs, in the order of the graph's. Defaults to those.
    """
    inputs = [
        keras.Input(batch_shape=new.shape, dtype=new.dtype, name=old._keras_history.operation.name)
        for old, new in zip(graph.inputs, like or graph.inputs, strict=True)
    ]
    outputs = replay(graph, [convert_input(new) for new in inputs], convert_node)
    return keras.Model(
        keras.tree.pack_sequence_as(graph._inputs_struct, inputs),
        keras.tree.pack_sequence_as(graph._outputs_struct, outputs),
        name=name,
    )


def replay(graph, inputs, convert_node):
    """The outputs of `graph` for other inputs, each operation replaced by what `convert_node` makes of it."""
    made = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
    for node in nodes(graph):
        args, kwargs = node.arguments.fill_in(made)
        outputs = keras.tree.flatten(convert_node(node, args, kwargs))
        made.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
    return [made[id(tensor)] for tensor in graph.outputs]


def inlined(model):
    """A copy of a Sequential or functional `model` with the layers of its nested models in their places.

    Layers keep their names, except that one inside a nested model is numbered where its name is taken.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    taken = {layer.name for layer in copy.layers}
    outer = {id(layer) for layer in copy.layers}
    for layer in dict.fromkeys(node.operation for node in all_nodes(functional(copy))):
        if id(layer) not in outer:
            names = itertools.chain([layer.name], (f"{layer.name}_{i}" for i in itertools.count(2)))
            layer.name = next(name for name in names if name not in taken)
            taken.add(layer.name)

    def convert(node, args, kwargs):
        inner = functional(node.operation)
        if inner is None:
            return node.operation(*args, **kwargs)
        outputs = replay(inner, keras.tree.flatten(args[0]), convert)
        return keras.tree.pack_sequence_as(inner._outputs_struct, outputs)

    return rebuild(functional(copy), lambda tensor: tensor, convert, name=model.name)


def all_nodes(graph):
    """`nodes`, with those of nested models in the place of their call."""
    for node in nodes(graph):
        inner = functional(node.operation)
        yield from (node,) if inner is None else all_nodes(inner)
