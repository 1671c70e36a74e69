"""A step on the JAX backend as StableHLO, sharded over the whole slice: the batch over all devices, state on each."""

import re

import jax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
from keras import tree

from keras_dlopt.distribute.aot.program import Finding, Program

_HOST = re.compile(r".*callback|debug_print|outside_call|infeed|outfeed")
_HOST_ADVICE = "it would stop a TPU at every step, and cannot be compiled without one: take it out of the step"


def lower(model, step, batch, devices, places):
    """The program of all devices; see `lower_tensorflow.lower`. `batch` is that of the whole slice."""
    mesh = AbstractMesh((devices,), ("batch",))
    everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("batch",)))
    train = step == "train"
    state = model._get_jax_state(
        trainable_variables=True, non_trainable_variables=True, optimizer_variables=train, metrics_variables=train
    )
    roles = ["parameters", "parameters", "optimizer state", "other state"]
    roles = [role for role, part in zip(roles, state, strict=False) for _ in part]
    state = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=everywhere), state)
    data = tree.map_structure(
        lambda t: None if t is None else jax.ShapeDtypeStruct(t.shape, t.dtype, sharding=split), batch
    )
    roles += ["inputs"] * len(jax.tree.leaves(data))

    def predict_step(state, data):  # donates all that it returns, as Keras's own does
        outputs, others = model.predict_step(state, data)
        return outputs, (state[0], others)

    traced = jax.jit(model.train_step if train else predict_step, donate_argnums=0).trace(state, data)
    findings = [
        Finding("host operation", equation.primitive.name, _place(equation, places), _HOST_ADVICE)
        for equation in _equations(traced.jaxpr.jaxpr)
        if _HOST.fullmatch(equation.primitive.name)
    ]
    if findings:
        return Program(step, None, "", devices, roles, findings)
    lowered = traced.lower(lowering_platforms=("tpu",))
    kept = lowered._lowering.compile_args.get("kept_var_idx")
    if kept is not None:
        roles = [roles[i] for i in sorted(kept)]
    operation = lowered.compiler_ir("stablehlo").operation
    module = operation.get_asm(enable_debug_info=True)
    return Program(step, module.encode(), operation.get_asm(), devices, roles, findings)


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _place(equation, places):
    trace = equation.source_info.traceback
    frames = [(f.file_name, f.line_num, f.function_name) for f in trace.frames][::-1] if trace is not None else []
    return places.of_operation(str(equation.source_info.name_stack), frames)
