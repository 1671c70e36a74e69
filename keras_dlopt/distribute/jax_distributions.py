"""Distributions of Keras on JAX: data parallel, model parallel, one machine or several."""

import functools
import os

import jax
import keras

from keras_dlopt.arguments import invalid
from keras_dlopt.distribute.plan import Plan


def make(word, workers, *, devices, model_parallel, layout, tpu, deterministic, memory_growth):
    """The plan for `word` on the JAX backend; see `choose.strategy`."""
    if tpu is not None:
        raise ValueError(
            "`strategy(tpu=...)`: JAX trains on the TPU of the machine it runs on: start the script there."
        )
    flags = os.environ.get("XLA_FLAGS", "")
    if deterministic and "xla_gpu_deterministic_ops" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    if memory_growth:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if workers is not None:
        _join(workers.workers, workers.index)
    elif word in ("auto", "tpu") and "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        _join(None, None)  # a TPU slice of several machines, which JAX asks for its addresses
    kind = _kind(None if word in ("auto", "multi_worker") else word)
    found = keras.distribution.list_devices(kind)
    used = [device.lower() for device in devices] if devices is not None else found
    if unknown := [device for device in used if device not in found]:
        raise invalid("strategy", "devices", unknown, f"some of {', '.join(found)}")
    distribution = _distribution(used, model_parallel, layout)
    keras.distribution.set_distribution(distribution)
    made = Plan(distribution, kind, _replicas(distribution), jax.process_count(), jax.process_index())
    why = f"{len(used)} {kind.upper()} device" + "s" * (len(used) > 1)
    if made.workers > 1:
        source = workers.source if workers is not None else "the TPU slice"
        why = f"{source} names {made.workers} workers, this is number {made.index}; {why}"
    shown = f"{type(distribution).__name__}, {made.replicas} replica" + "s" * (made.replicas > 1)
    made.note("strategy", shown, why, "strategy('cpu')" if kind != "cpu" else "run where there is a GPU or TPU")
    if deterministic:
        made.note("determinism", "on", "as asked; set before JAX starts, so call `strategy` before anything else")
    return made


def capabilities(plan):
    """CUDA compute capability of each GPU."""
    if plan.device != "gpu":
        return []
    shown = (getattr(device, "compute_capability", "") for device in jax.devices("gpu"))
    return [tuple(map(int, text.split("."))) for text in shown if text]


@functools.cache
def _join(addresses, index):
    try:
        keras.distribution.initialize(addresses and ",".join(addresses), addresses and len(addresses), index)
    except RuntimeError as error:
        if "before" not in str(error):
            raise
        raise RuntimeError(
            "`strategy('multi_worker')`: JAX has already run something in this process. "
            "Call `strategy` before anything else."
        ) from error


def _kind(wanted):
    """The kind of device to train on: the one wanted, or JAX's best."""
    if wanted is None:
        return jax.devices()[0].platform.replace("cuda", "gpu").replace("rocm", "gpu")
    try:
        jax.devices(wanted)
    except RuntimeError as error:
        install = {"tpu": "jax[tpu]", "gpu": "jax[cuda13]"}.get(wanted, "jax")
        raise RuntimeError(
            f"`strategy({wanted!r})`: JAX finds no {wanted.upper()}: {str(error).splitlines()[0]} "
            f"On a machine that has one, install {install}."
        ) from None
    return wanted


def _distribution(devices, model_parallel, layout):
    if isinstance(layout, keras.distribution.LayoutMap):
        return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name=layout.device_mesh.axis_names[0])
    if model_parallel == 1 and layout is None:
        return keras.distribution.DataParallel(devices=devices)
    if len(devices) % model_parallel:
        raise invalid("strategy", "model_parallel", model_parallel, f"a divisor of the {len(devices)} devices")
    if not layout:
        raise invalid("strategy", "layout", layout, "given with `model_parallel`: which variables are split, and how")
    shape = (len(devices) // model_parallel, model_parallel)
    mesh = keras.distribution.DeviceMesh(shape, ("batch", "model"), devices)
    layout_map = keras.distribution.LayoutMap(mesh)
    for pattern, axes in layout.items():
        layout_map[pattern] = tuple(axes)
    return keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")


def _replicas(distribution):
    mesh = distribution.device_mesh
    return int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])
