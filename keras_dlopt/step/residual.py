"""Residual blocks: found in a model's graph, and run with their branch or without it."""

import dataclasses

import keras
from keras import ops


@dataclasses.dataclass
class Branch:
    """What a residual addition adds to its shortcut.

    Args:
        addition: the node that adds.
        nodes: the nodes that only the branch needs, in the order of computation.
        output, shortcut: the two symbolic tensors.
    """

    addition: object
    nodes: list
    output: object
    shortcut: object


def branches(model):
    """The branches of the residual additions of a functional model, from the input on.

    A residual addition adds two tensors of one shape, of which one, the shortcut, is computed on the way to the other
    one or with at most one layer with a kernel of its own. Nothing else may use what the branch computes.
    """
    order = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    before = _ancestors(order)
    makers = {id(t): node for node in order for t in node.outputs}
    users = {}
    for node in order:
        for tensor in node.input_tensors:
            users.setdefault(id(tensor), []).append(node)
    for tensor in model.outputs:
        users.setdefault(id(tensor), []).append(None)
    found, taken = [], set()
    for node in order:
        tensors = list(node.input_tensors)
        if type(node.operation).__name__ != "Add" or len(tensors) != 2 or tensors[0].shape != tensors[1].shape:
            continue
        for output, shortcut in (tensors, tensors[::-1]):
            ends = before[id(makers[id(output)])], before[id(makers[id(shortcut)])]
            own, of_shortcut = ends[0] - ends[1], ends[1] - ends[0]
            kernels = _kernels(order, of_shortcut)
            if not own or not ends[0] & ends[1] or (of_shortcut and not kernels <= min(1, _kernels(order, own) - 1)):
                continue
            nodes = [n for n in order if id(n) in own]
            inside = own | {id(node)}
            closed = all(id(user) in inside for n in nodes for t in n.outputs for user in users.get(id(t), ()))
            if closed and not own & taken:
                found.append(Branch(node, nodes, output, shortcut))
                taken |= inside
                break
    return found


def _ancestors(order):
    """The id of each node -> the ids of all nodes that it needs, with its own."""
    before, makers = {}, {}
    for node in order:
        needed = (
            {id(node)}.union(*(before[id(makers[id(t)])] for t in node.input_tensors))
            if node.input_tensors
            else {id(node)}
        )
        before[id(node)] = needed
        makers |= {id(t): node for t in node.outputs}
    return before


def _kernels(order, chosen):
    """How many of the chosen nodes have weights of two or more dimensions."""
    return sum(
        any(len(v.shape) > 1 for v in getattr(node.operation, "variables", ())) for node in order if id(node) in chosen
    )


def run(model, found, inputs, training, replace):
    """What the functional `model` returns for `inputs`, with its branches left to somebody else.

    Args:
        model: the model.
        found: what `branches` gave, or some of it.
        inputs: as for `model.call`.
        training: as for `model.call`.
        replace: called with the number of a branch, its shortcut, and a function without arguments that computes it;
            returns what is added.
    """
    values = {id(t): x for t, x in zip(model.inputs, model._standardize_inputs(inputs), strict=True)}
    of_addition = {id(branch.addition): (i, branch) for i, branch in enumerate(found)}
    inside = {id(node) for branch in found for node in branch.nodes}

    def compute(node, values):
        args, kwargs = node.arguments.fill_in(values)
        if training is not None and "training" in getattr(node.operation, "_call_context_args", {}):
            kwargs["training"] = training
        outputs = node.operation(*args, **kwargs)
        values |= {id(t): x for t, x in zip(node.outputs, keras.tree.flatten(outputs), strict=True)}

    def branch_of(branch):
        own = dict(values)
        for node in branch.nodes:
            compute(node, own)
        return own[id(branch.output)]

    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input or id(node) in inside:
                continue
            if id(node) in of_addition:
                i, branch = of_addition[id(node)]
                shortcut = values[id(branch.shortcut)]
                values[id(branch.output)] = replace(i, shortcut, lambda branch=branch: branch_of(branch))
            compute(node, values)
    return keras.tree.pack_sequence_as(model._outputs_struct, [values[id(t)] for t in model.outputs])


def taken_or_zero(taken, branch, like, variables):
    """What `branch()` computes where the scalar `taken` holds, else zeros; computed only then.

    What the branch writes into `variables`, statistics and seeds, is written only then, too: after the conditional,
    because neither JAX nor a strategy lets it write inside.
    """
    variables = list({id(v): v for v in variables}.values())
    written = [v for v in variables if not v.trainable]
    now = [(v, ops.convert_to_tensor(v)) for v in variables]
    old = [value for v, value in now if not v.trainable]

    def compute():
        with keras.StatelessScope(state_mapping=now) as scope:
            value = branch()
        return [value, *(scope.get_current_value(v) for v in written)]

    def skip():
        return [ops.zeros_like(like), *old]

    value, *new = ops.cond(taken, compute, skip)
    for variable, x in zip(written, new, strict=True):
        variable.assign(x)
    return value
