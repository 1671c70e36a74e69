"""The strategy that fits the hardware."""

import os

import keras

from keras_dlopt.arguments import check_number, invalid
from keras_dlopt.distribute import chief_files, cluster, plan, precision

VARIABLE = "KERAS_DLOPT_STRATEGY"
WORDS = ("auto", "cpu", "gpu", "tpu", "multi_worker")


def strategy(
    name="auto",
    *,
    devices=None,
    mixed_precision="auto",
    model_parallel=1,
    layout=None,
    tpu=None,
    seed=None,
    deterministic=False,
    memory_growth=True,
):
    """The strategy that fits the hardware, ready for `model.fit`.

    ```python
    with keras_dlopt.distribute.strategy().scope():
        model = build_model()
        model.compile(...)
    model.fit(...)
    ```

    The environment variable `KERAS_DLOPT_STRATEGY` replaces `name`, so that a script moves without being edited. Call
    it at the very beginning: several machines, GPU memory and determinism can only be set up before anything runs.
    On TensorFlow, a second call for the same devices returns the same strategy.

    | name | on TensorFlow | on JAX |
    | --- | --- | --- |
    | "cpu" | the default strategy, or OneDeviceStrategy where there are GPUs | the CPU devices |
    | "gpu" | MirroredStrategy over all GPUs | all GPUs |
    | "tpu", or a slice such as "v5e-8" | TPUStrategy, on this machine's TPU or that of `tpu` | all its devices |
    | "multi_worker" | MultiWorkerMirroredStrategy | all devices of all machines |
    | "auto" | several workers if the environment describes them, else TPU, else GPU, else CPU | the same |

    Where the workers are is read from `TF_CONFIG`, Vertex AI's `CLUSTER_SPEC`, Slurm's step or Kubernetes: see
    `keras_dlopt.distribute.cluster.resolve`.

    Args:
        name: where to train; see the table. A slice's name also checks that the TPU found is that slice.
        devices: the devices to use, such as ["GPU:0", "GPU:2"]; all of the kind by default. Not for TPUs or several
            machines.
        mixed_precision: "auto" for what fits the hardware (bfloat16 on TPUs and newer GPUs, float16 with a loss
            scale on older ones), unless a dtype policy was set before; `None` to leave it alone; or a policy's name.
        model_parallel: JAX only: over how many devices one copy of the model is spread, >= 1.
        layout: JAX only, with `model_parallel`: pattern of a variable's path -> its axes, each "model" or `None`, as
            in `keras.distribution.LayoutMap`; or a `LayoutMap`, whose mesh is then used.
        tpu: name or grpc:// address of a remote TPU; by default `TPU_NAME`, else this machine's.
        seed: seed of Python, NumPy and Keras. Several workers need a common one, to shuffle alike: by default 0 there,
            and none elsewhere.
        deterministic: whether the same run gives the same bits again; slower on GPUs. Uses `seed`, by default 0.
        memory_growth: whether GPU memory is taken as needed instead of all at once.

    Returns:
        A `tf.distribute.Strategy`; on the JAX backend a `keras.distribution.Distribution`, which is then also in
        force. Both have a `scope()`.

    Raises:
        ValueError: if an argument cannot be used, or the environment describes an impossible cluster.
        RuntimeError: if the hardware asked for is not found, with the reason; or if it is too late to set it up.

    Example:

    >>> from keras_dlopt import distribute
    >>> with distribute.strategy("cpu").scope():
    ...     model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    """
    asked, word = name, os.environ.get(VARIABLE, "").strip() or name
    where = f"{VARIABLE}={word}" if word != asked else f"strategy({word!r})"
    slice_ = _check_name(word)
    backend = _check_arguments(word, slice_, devices, model_parallel, layout, seed)
    workers = cluster.resolve(os.environ) if word in ("auto", "multi_worker") else None
    if word == "multi_worker" and workers is None:
        raise ValueError(
            f"`{where}`: nothing describes the workers. Start them with `keras-dlopt launch`, Slurm's `srun`, "
            "Kubernetes or Vertex AI, or set TF_CONFIG; docs/distribute.md shows each."
        )
    if slice_ and backend == "tensorflow" and "tf" not in slice_.frameworks:
        raise ValueError(f"`{where}`: {slice_.name} runs JAX only: set KERAS_BACKEND=jax.")
    if backend == "tensorflow":
        from keras_dlopt.distribute import tensorflow_strategies as makers
    else:
        from keras_dlopt.distribute import jax_distributions as makers
    kind = "tpu" if slice_ else word
    if devices is not None:
        kind = devices[0].partition(":")[0].lower()
    made = makers.make(
        kind,
        workers if workers is not None and (len(workers.workers) > 1 or word == "multi_worker") else None,
        devices=devices and tuple(device.upper() for device in devices),
        model_parallel=model_parallel,
        layout=layout,
        tpu=tpu,
        deterministic=deterministic,
        memory_growth=memory_growth,
    )
    if word != asked:
        first = made.choices[0]
        made.choices[0] = plan.Choice("strategy", first.chosen, f"{where}; {first.why}", f"unset {VARIABLE}")
    if slice_ and made.replicas * model_parallel not in (slice_.chips, slice_.cores, slice_.compiler_devices):
        raise RuntimeError(f"`{where}`: {slice_.name} has {slice_.chips} chips, but the TPU found {made.replicas}.")
    if made.workers > 1:
        chief_files.only_from_chief()
        why = "the others' `model.save` and `save_weights` go to a throwaway folder"
        made.note("files", "written by worker 0", why)
    _seed(made, seed, deterministic)
    precision.set_policy(made, mixed_precision, makers.capabilities(made))
    plan.remember(made)
    return made.strategy


def _check_arguments(word, slice_, devices, model_parallel, layout, seed):
    """Raises unless the arguments go together; returns the backend."""
    check_number("strategy", "model_parallel", model_parallel, 1, integer=True)
    if seed is not None:
        check_number("strategy", "seed", seed, 0, integer=True)
    if layout is not None and not hasattr(layout, "items"):
        raise invalid("strategy", "layout", layout, "a dictionary from patterns to axes, or a LayoutMap")
    if devices is not None:
        listed = isinstance(devices, list | tuple) and all(isinstance(device, str) for device in devices)
        kinds = {device.partition(":")[0].lower() for device in devices} if listed else ()
        if slice_ or len(kinds) != 1 or not kinds <= {"cpu", "gpu"} or word not in ("auto", *kinds):
            raise invalid("strategy", "devices", devices, "a list such as ['GPU:0', 'GPU:1'], with 'cpu' or 'gpu'")
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"`strategy()` needs Keras on TensorFlow or JAX, not on {backend}: set KERAS_BACKEND.")
    if backend == "tensorflow" and (model_parallel > 1 or layout is not None):
        raise ValueError("`strategy(model_parallel=..., layout=...)` needs Keras on JAX: set KERAS_BACKEND=jax.")
    return backend


def _check_name(name):
    """The TPU slice of that name; `None` for a word."""
    from keras_dlopt import tpu_configs

    if name in WORDS:
        return None
    try:
        return tpu_configs.load(name)
    except ValueError as error:
        near = str(error).partition("near it: ")[2].partition(")")[0]
        near = f" (near it: {near})" if near else ""
        words = ", ".join(map(repr, WORDS))
        raise invalid("strategy", "name", name, f"one of {words} or a TPU slice such as 'v5e-8'{near}") from None


def _seed(made, seed, deterministic):
    """Seeds everything if that was asked for, or if several workers must shuffle alike."""
    if seed is None and (made.workers > 1 or deterministic):
        seed = 0
    if seed is not None:
        keras.utils.set_random_seed(seed)
        why = "workers must shuffle and start alike" if made.workers > 1 else "as asked"
        made.note("seed", str(seed), why, "strategy(seed=...)")
    if deterministic:
        made.deterministic = True
