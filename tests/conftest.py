import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# JAX would look for the TPU whose compiler is installed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Two host devices, so that strategies on both backends have something to distribute over.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import keras
import pytest

BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_configure(config):
    config.addinivalue_line("markers", "both_backends: runs on the TensorFlow and on the JAX backend")


@pytest.fixture(scope="session")
def mirrored():
    """MirroredStrategy over two logical CPU devices; one a process, for every new one counts its collectives anew."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def clean_session():
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session(free_memory=False)


def pytest_terminal_summary(terminalreporter):
    """Prints what the conformance tests measured, not only that it was small enough."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    rows = sorted(
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "conformance"
    )
    if rows:
        terminalreporter.section("largest difference from the reference, relative to the largest weight")
        terminalreporter.write_line("\n".join(rows))
