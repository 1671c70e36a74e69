"""Reaching a TPU from TensorFlow: this machine's, or a remote one."""

import functools
import glob
import socket
import time
import urllib.parse

import tensorflow as tf

from keras_dlopt.distribute.plan import Plan

ATTEMPTS = 3
WAIT = 2.0  # seconds before the second attempt, doubled before every further one
_REACHED_WITHIN = 10.0


def sign(environ, accelerators="/dev/accel[0-9]*"):
    """The address of the TPU that the environment or the machine points to and what does so, or `None`.

    Args:
        environ: the variables, such as `os.environ`.
        accelerators: pattern of the files that the driver makes for this machine's chips.

    Example:

    >>> sign({"TPU_NAME": "mine"})
    ('mine', 'TPU_NAME')
    """
    if environ.get("TPU_NAME"):
        return environ["TPU_NAME"], "TPU_NAME"
    if environ.get("COLAB_TPU_ADDR"):
        return "grpc://" + environ["COLAB_TPU_ADDR"].removeprefix("grpc://"), "COLAB_TPU_ADDR"
    for name in ("TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES"):
        if environ.get(name):
            return "local", name
    if glob.glob(accelerators):
        return "local", accelerators
    return None


def connect(address, environ):
    """The plan for the TPU at `address`, or for the one that `sign` finds: connected, initialized, tried three times.

    Raises:
        RuntimeError: if there is none or it does not answer, with the reason.
    """
    found = (address, f"tpu={address!r}") if address else sign(environ)
    if found is None and tf.config.list_physical_devices("TPU"):
        found = "local", "TensorFlow sees one"
    if found is None:
        raise RuntimeError(
            "`strategy('tpu')`: no TPU found: TPU_NAME and COLAB_TPU_ADDR are not set, there is no /dev/accel0 "
            "here, and TensorFlow sees none. Name a remote one by tpu=...; docs/tpu.md shows how to get one."
        )
    address, why = found
    if address == "local" and not tf.config.list_physical_devices("TPU"):
        raise RuntimeError(
            f"`strategy('tpu')`: {why} points to a TPU in this machine, but this TensorFlow is built without TPUs. "
            "Set KERAS_BACKEND=jax and install jax[tpu], or install tensorflow-tpu in its place."
        )
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(WAIT * 2 ** (attempt - 1))
        try:
            strategy = _initialize(address)
            break
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            reason = error
    else:
        said = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        raise RuntimeError(
            f"`strategy('tpu')`: the TPU at {address} ({why}) did not answer in {ATTEMPTS} attempts: {said}"
        ) from reason
    made = Plan(strategy, "tpu", strategy.num_replicas_in_sync)
    made.note("strategy", f"TPUStrategy, {made.replicas} replicas", f"{why} points to it", "strategy('cpu')")
    made.note("shapes", "static", "a TPU compiles for fixed shapes: batches without remainder, as `dataset` makes them")
    return made


@functools.cache
def _initialize(address):
    if address.startswith("grpc://"):
        # TensorFlow waits for an address without end.
        parts = urllib.parse.urlsplit(address)
        socket.create_connection((parts.hostname, parts.port or 8470), timeout=_REACHED_WITHIN).close()
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
    if address != "local":
        tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)
