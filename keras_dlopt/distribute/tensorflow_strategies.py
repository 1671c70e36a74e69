"""Strategies of TensorFlow: CPU, GPUs and several machines."""

import functools
import os

import tensorflow as tf

from keras_dlopt.arguments import invalid
from keras_dlopt.distribute import keras_mends
from keras_dlopt.distribute import tpu as _tpu
from keras_dlopt.distribute.plan import Plan


def make(word, workers, *, devices, tpu, deterministic, memory_growth, **_):
    """The plan for `word` on the TensorFlow backend; see `choose.strategy`."""
    gpus = tf.config.list_physical_devices("GPU")
    grown = _grow_memory(gpus) if memory_growth and word != "cpu" else ""
    if devices is not None:
        known = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
        if unknown := [device for device in devices if device not in known]:
            raise invalid("strategy", "devices", unknown, f"some of {', '.join(known)}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if workers is not None:
        made = _multi_worker(workers, "gpu" if gpus else "cpu")
    elif word == "tpu" or (word == "auto" and _tpu.sign(os.environ)):
        made = _tpu.connect(tpu, os.environ)
    elif word == "gpu" or (word == "auto" and gpus):
        made = _mirrored(devices, gpus)
    else:
        made = _cpu(devices, gpus)
    keras_mends.check_compile()
    if grown:
        made.note("GPU memory", "as needed", grown, "strategy(memory_growth=False)")
    if deterministic:
        made.note("determinism", "on", "as asked; some operations are slower, others refuse to run")
    if made.device == "tpu":
        made.note("XLA", "on", "TPUStrategy compiles every step; `jit_compile=True` is turned off")
    elif made.replicas > 1:
        made.note(
            "XLA", "off", "it cannot compile a step that several replicas share; `jit_compile=True` is turned off"
        )
    elif made.device == "gpu":
        made.note("XLA", "off", "Keras's default under a strategy", "compile(jit_compile=True), if the model allows it")
    return made


def capabilities(plan):
    """CUDA compute capability of each GPU."""
    if plan.device != "gpu":
        return []
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [detail["compute_capability"] for detail in details if detail.get("compute_capability")]


def _cpu(devices, gpus):
    if devices is not None and len(devices) > 1:
        strategy = _mirror(devices)
        made = Plan(strategy, "cpu", strategy.num_replicas_in_sync)
        made.note("strategy", f"MirroredStrategy, {made.replicas} replicas", "the CPU devices that were named")
        return made
    if gpus or devices is not None:
        device = devices[0] if devices else "CPU:0"
        made = Plan(_one_device(device), "cpu", 1)
        made.note("strategy", f"OneDeviceStrategy on {device}", "the CPU was asked for", "strategy('gpu')")
        return made
    made = Plan(tf.distribute.get_strategy(), "cpu", 1)
    made.note("strategy", "default, on the CPU", "one device needs none", "run where there is a GPU or TPU")
    return made


def _mirrored(devices, gpus):
    if not gpus:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f"CUDA_VISIBLE_DEVICES={hidden} hides them" if hidden is not None else "is the driver installed?"
        if not tf.test.is_built_with_cuda() and not tf.test.is_built_with_rocm():
            why = "this TensorFlow is built without CUDA"
        raise RuntimeError(f"`strategy('gpu')`: TensorFlow sees no GPU; {why}.")
    strategy = _mirror(devices)
    made = Plan(strategy, "gpu", strategy.num_replicas_in_sync)
    count = f"{made.replicas} replica" + "s" * (made.replicas > 1)
    why = "the GPUs that were named" if devices else "one for each GPU that TensorFlow sees"
    made.note("strategy", f"MirroredStrategy, {count}", why, "strategy(devices=['GPU:0', ...])")
    return made


def _multi_worker(workers, device):
    keras_mends.for_several_workers()
    try:
        strategy = _join(workers)
    except (RuntimeError, ValueError) as error:
        if "Collective ops" not in str(error):
            raise
        raise RuntimeError(
            "`strategy('multi_worker')`: TensorFlow has already run something in this process, or has joined "
            "another cluster. Call `strategy` before anything else."
        ) from error
    made = Plan(strategy, device, strategy.num_replicas_in_sync, len(workers.workers), workers.index)
    made.note(
        "strategy",
        f"MultiWorkerMirroredStrategy, {made.workers} workers, {made.replicas} replicas",
        f"{workers.source} names the workers; this is number {workers.index}",
        "how the workers are started",
    )
    return made


# A process makes each once: a second one over the same devices would number its collective operations anew.


@functools.cache
def _mirror(devices):
    if devices is not None and devices[0].startswith("CPU"):
        # No collectives: several strategies can then share the devices, and several steps an execution work.
        ops = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=ops)
    return tf.distribute.MirroredStrategy(devices and list(devices))


@functools.cache
def _one_device(device):
    return tf.distribute.OneDeviceStrategy(f"/{device}")


@functools.cache
def _join(workers):
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers.workers)}),
        task_type="worker",
        task_id=workers.index,
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _grow_memory(gpus):
    """Lets TensorFlow take GPU memory as needed; what came of it, or "" without GPUs."""
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        return "not: TensorFlow had already taken it; call `strategy` before anything else"
    return "TensorFlow would otherwise take all of it" if gpus else ""
