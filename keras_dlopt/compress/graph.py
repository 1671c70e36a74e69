"""Walking and rebuilding a functional model's graph.

Keras keeps the graph (`_nodes_by_depth`, `Node.arguments`) private, so everything that reads it lives here and
`tests/compress/test_graph.py` fails first when Keras changes it.
"""

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


def rebuild(graph, convert_input, convert_node, name=None):
    """A new functional model with the same wiring and other operations.

    Args:
        graph: what `functional` returned.
        convert_input: called with each new `keras.Input`, returns the tensor its readers get.
        convert_node: called with `(node, args, kwargs)`, the arguments already in the new graph; returns the new
            outputs.
        name: name of the new model.
    """
    inputs = [
        keras.Input(batch_shape=old.shape, dtype=old.dtype, name=old._keras_history.operation.name)
        for old in graph.inputs
    ]
    made = {id(old): convert_input(new) for old, new in zip(graph.inputs, inputs, strict=True)}
    for node in nodes(graph):
        args, kwargs = node.arguments.fill_in(made)
        outputs = keras.tree.flatten(convert_node(node, args, kwargs))
        made.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
    outputs = [made[id(tensor)] for tensor in graph.outputs]
    return keras.Model(
        keras.tree.pack_sequence_as(graph._inputs_struct, inputs),
        keras.tree.pack_sequence_as(graph._outputs_struct, outputs),
        name=name,
    )
