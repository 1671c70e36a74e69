"""The preflight, through the real TPU compiler; no TPU is there, and nothing is mocked."""

import inspect
import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dlopt import callbacks, cli, compress, distribute, optimizers

pytestmark = pytest.mark.both_backends

TENSORFLOW = keras.backend.backend() == "tensorflow"
FAMILY = {row.family: name for name, row in reversed(optimizers.TABLE.items())}  # its first


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    with distribute.Compiler(progress=False, cache=tmp_path_factory.mktemp("answers")) as compiler:
        yield compiler


def net(optimizer="adam", *more, **kwargs):
    keras.utils.set_random_seed(0)
    front = [layers.Conv2D(8, 3, name="conv"), layers.BatchNormalization(), layers.ReLU(), *more]
    back = [layers.GlobalAveragePooling2D(), layers.Dense(10, name="head")]
    return compiled(keras.Sequential([layers.Input((8, 8, 3)), *front, *back]), optimizer, **kwargs)


def compiled(model, optimizer="adam", **kwargs):
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **kwargs)
    return model


def dense():
    """One matrix product of 128 x 256 a row."""
    model = keras.Sequential([layers.Input((128,)), layers.Dense(256, use_bias=False)])
    model.compile(keras.optimizers.Adam(), "mse")
    return model


STEPS = {name: (lambda n=name: (net(n.lower()), [])) for name in FAMILY.values()} | {
    "Prune": lambda: (net(), [callbacks.Prune(0.8)]),
    "quantize_aware": lambda: (compiled(compress.quantize_aware(net())), []),
    "SwapEMAWeights": lambda: (net(keras.optimizers.Adam(use_ema=True)), [keras.callbacks.SwapEMAWeights()]),
}


@pytest.mark.parametrize("what", STEPS)
def test_compiles(what, compiler):
    model, used = STEPS[what]()
    report = distribute.preflight(model, 16, "v5e-8", predict=False, callbacks=used, compiler=compiler)
    assert report.compiles, str(report)
    step = report.train
    assert 0 < step.hbm_used < step.hbm_available == pytest.approx(15.75 * 2**30, rel=1e-3)
    assert sum(step.hbm.values()) == step.hbm_used
    assert step.hbm["parameters"] >= 4 * model.count_params()
    state = sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in model.optimizer.variables if v.ndim)
    assert step.hbm["optimizer state"] >= state


def test_recording_is_in_the_step_and_leaves_nothing_behind(compiler, tmp_path):
    model = dense()
    model.compile("sgd", "mse")
    recorder = callbacks.RecordOptimizer(tmp_path / "log")
    plain, recorded, again = (
        distribute.preflight(model, 64, "v5e-8", predict=False, callbacks=used, compiler=compiler).train
        for used in ([], [recorder], [])
    )
    assert recorded.compiles, recorded.message
    state = [step.hbm["optimizer state"] + step.hbm["other state"] for step in (plain, recorded)]
    assert state[1] >= state[0] + 18 * 2 * 64  # the ring's rows of two histograms, in bytes, and more
    assert recorded.flops > plain.flops + 3 * 2 * 128 * 256  # the norms of the gradient, the update and the weight
    assert again.cached and again.hbm == plain.hbm
    assert not os.path.exists(recorder.logdir)


def test_figures_of_a_matrix_product(compiler):
    report = distribute.preflight(dense(), 8 * 64, "v5e-8", compiler=compiler)
    product = 2 * 64 * 128 * 256
    assert report.predict.flops == pytest.approx(product, rel=0.01)
    assert report.train.flops == pytest.approx(2 * product, rel=0.2)  # and the gradient of the kernel, and Adam
    assert report.train.hbm["parameters"] == 4 * 128 * 256
    assert report.train.hbm["optimizer state"] == pytest.approx(2 * 4 * 128 * 256, abs=4096)
    assert report.train.peak_flops == pytest.approx(197e12) and report.train.bandwidth == pytest.approx(819e9, rel=0.01)
    assert report.train.seconds == report.train.bytes_moved / report.train.bandwidth
    assert report.train.bound == "memory"
    assert "Nothing ran on a TPU" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["train"]["bound"] == "memory"


def test_filling_is_found(compiler):
    model = keras.Sequential([layers.Input((130,)), layers.Dense(9, name="narrow")])
    model.compile("sgd", "mse")
    report = distribute.preflight(model, 8, "v5e-1", predict=False, compiler=compiler)
    assert 0.5 < report.train.padding < 1
    assert any(extent == 9 and filled == 128 for _, extent, filled, _, _ in report.train.wasteful)


def test_slices_compared_and_answers_kept(compiler):
    slices = ["v5e-8", "v6e-8"]
    first, again = (distribute.preflight(dense(), 64, compare=slices, compiler=compiler) for _ in range(2))
    assert [report.topology for report in first] == slices
    assert first[0].train.peak_flops < first[1].train.peak_flops
    assert str(first).splitlines()[1].startswith("v5e-8") and len(str(first).splitlines()) == 4
    assert all(step.cached for report in again for step in report.steps)
    assert [r.train.hbm_used for r in again] == [r.train.hbm_used for r in first]


def wide():
    """Large in its activations alone."""
    model = keras.Sequential([layers.Input((2**16, 128)), layers.Dense(128, "relu"), layers.Dense(128, "relu")])
    return compiled(model)


@pytest.mark.skipif(TENSORFLOW, reason="the search is the same, and TensorFlow's lowering takes three times as long")
def test_the_largest_batch_fits_and_the_next_does_not(compiler):
    report = distribute.preflight(wide(), 64, "v5e-1", predict=False, find_batch=True, compiler=compiler)
    assert report.compiles
    assert report.batch % 8 == 0 and report.next_batch == report.batch + 8
    tried = dict(report.search)
    assert tried[report.batch] and not tried[report.next_batch]
    assert f"{report.next_batch} is refused" in str(report)


def test_too_large_by_far(compiler):
    report = distribute.preflight(wide(), 2**13, "v5e-8", predict=False, compiler=compiler)
    assert not report.compiles and report.train.error == "RESOURCE_EXHAUSTED"
    (line,) = [line for line in str(report).splitlines() if "does not compile" in line]
    assert "of a device: take a smaller batch" in line
    if report.train.hbm_used:
        assert report.train.hbm_used > 5 * report.train.hbm_available


def layered():
    hidden = [layers.Dense(4096, "relu") for _ in range(2)]
    model = keras.Sequential([layers.Input((8,)), *hidden, layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    return model


FIT_ON_A_CHIP = """
import jax, keras, numpy as np
from jax.experimental import topologies
from keras import layers

topology = topologies.get_topology_desc(topology_name="v5e:1x1", platform="tpu", chips_per_host_bounds=(1, 1, 1))
{layered}

def fit(batch):
    model = layered()
    make = model.make_train_function
    def make_for_the_chip(force=False):
        make(force)
        step = model.train_function
        def on_the_chip(*arguments):
            with jax.default_device(topology.devices[0]):
                return step(*arguments)
        model.train_function = on_the_chip
    model.make_train_function = make_for_the_chip
    try:
        model.fit(np.zeros((batch, 8), "float32"), np.zeros((batch, 1), "float32"), batch, verbose=0)
    except Exception as error:
        print(type(error).__name__, str(error).split(":")[0])

fit(64)
fit(2**21)
"""


@pytest.mark.skipif(TENSORFLOW, reason="only JAX can run `fit` on the compile-only client")
def test_fit_fails_alike_on_the_compile_only_client(compiler):
    """`fit` itself, its train function sent to the chip: what the preflight refuses fails there, by the same class.

    What it accepts is compiled as well, and ends at the first thing that only a real chip can do.
    """
    code = FIT_ON_A_CHIP.format(layered=inspect.getsource(layered))
    environment = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    fitting, refused = done.stdout.splitlines()
    small, large = (
        distribute.preflight(layered(), batch, "v5e-1", predict=False, compiler=compiler) for batch in (64, 2**21)
    )
    assert small.compiles and "'local_devices'" in fitting
    assert refused == f"JaxRuntimeError {large.train.error}" == "JaxRuntimeError RESOURCE_EXHAUSTED"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the list of loaded libraries from /proc")
def test_the_compiler_stays_out_of_this_process(compiler):
    assert distribute.preflight(dense(), 64, "v5e-8", compiler=compiler).compiles
    assert "libtpu.so" not in pathlib.Path("/proc/self/maps").read_text()


@keras.saving.register_keras_serializable("tests")
class Asking(layers.Layer):
    """Asks the host in the middle of the step."""

    def call(self, x):
        if TENSORFLOW:
            import tensorflow as tf

            return tf.ensure_shape(tf.numpy_function(lambda a: a, [x], tf.float32), x.shape)
        import jax

        jax.debug.print("{}", x[0, 0, 0, 0])
        return x


def test_a_host_operation_is_found_with_its_layer(compiler):
    report = distribute.preflight(net("adam", Asking(name="asking")), 16, "v5e-8", predict=False, compiler=compiler)
    assert not report.compiles
    (finding,) = {f.where: f for f in report.train.findings}.values()
    assert finding.kind == "host operation"
    assert 'layer "asking" (Asking) (test_preflight.py:' in finding.where
    assert "asking" in str(report) and "take it out" in str(report)


@keras.saving.register_keras_serializable("tests")
class Breaking(layers.Layer):
    def build(self, shape):
        pass

    def call(self, x):
        return ops.reshape(x, (7,)) if x.shape[0] == 2 else x


def test_an_error_while_tracing_names_the_layer(compiler):
    report = distribute.preflight(net("adam", Breaking(name="breaking")), 16, "v5e-8", predict=False, compiler=compiler)
    if TENSORFLOW:  # traced with a device's share of the batch
        assert not report.compiles and 'layer "breaking"' in str(report)
    else:
        assert report.compiles


def test_weights_and_state_stay(compiler):
    model = net()
    before = [ops.convert_to_numpy(v) for v in model.variables]
    distribute.preflight(model, 16, "v5e-8", predict=False, callbacks=[callbacks.Prune(0.8)], compiler=compiler)
    for a, b in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))


@pytest.mark.skipif(not TENSORFLOW, reason="JAX makes the same variables under every distribution")
def test_a_model_made_for_one_device_compiles(compiler):
    import tensorflow as tf

    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        model = dense()
    used = [callbacks.Prune(0.8)]
    report = distribute.preflight(model, 64, "v5e-8", predict=False, callbacks=used, compiler=compiler)
    assert report.compiles, str(report)
    assert report.train.hbm["parameters"] == 4 * 128 * 256
    assert report.train.hbm["optimizer state"] >= 2 * 4 * 128 * 256


@pytest.mark.skipif(not TENSORFLOW, reason="JAX makes the same variables under every distribution")
def test_a_model_made_for_several_replicas_is_refused(compiler, mirrored):
    outside = dense()
    with mirrored.scope():
        model = dense()
        with pytest.raises(ValueError, match="outside `strategy.scope"):
            distribute.preflight(outside, 64, "v5e-8", compiler=compiler)
    with pytest.raises(ValueError, match="outside `strategy.scope"):
        distribute.preflight(model, 64, "v5e-8", compiler=compiler)


REFUSED = {
    "topology": (lambda: (net(), 16, "v5e-9"), r"`preflight\(topology=...\)` must be .*v5e-8.*'v5e-9'"),
    "not compiled": (lambda: (keras.Sequential([layers.Input((2,)), layers.Dense(1)]), 8), "must be compiled: call"),
    "batch": (lambda: (net(), 12), r"preflight\(batch=...\)` must be a multiple of the 8 devices of v5e-8.*12"),
    "no batch": (lambda: (net(), 0), r"preflight\(batch=...\)"),
    "no model": (lambda: ("net", 8), r"preflight\(model=...\)` must be a compiled keras.Model.*'net'"),
    "lengths": (
        lambda: (compiled(keras.Sequential([layers.Input((None, 4)), layers.GRU(3)])), 8),
        r"preflight\(data=...\)` must be a batch \(x, y\): a TPU needs every length fixed",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_arguments_are_refused(what, compiler):
    make, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        distribute.preflight(*make(), compiler=compiler)


@pytest.mark.parametrize("compare", ["v5e-8", [], ["v5e-9"]])
def test_slices_to_compare_are_a_list_of_names(compare, compiler):
    with pytest.raises(ValueError, match=r"preflight\(compare=...\)` must be .*v5e-8.*Received: compare="):
        distribute.preflight(net(), 16, compare=compare, compiler=compiler)


@pytest.mark.skipif(not TENSORFLOW, reason="what TensorFlow does not run on")
@pytest.mark.parametrize("where", [{"topology": "7x-8"}, {"compare": ["v5e-8", "7x-8"]}])
def test_a_slice_that_runs_jax_only_is_refused_on_tensorflow(where, compiler):
    message = rf"preflight\({[*where][0]}=...\)`: 7x-8 runs JAX only: set KERAS_BACKEND=jax\.$"
    with pytest.raises(ValueError, match=message):
        distribute.preflight(net(), 16, **where, compiler=compiler)


def test_without_libtpu_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'^This needs `libtpu`.*: pip install "keras-dlopt\[tpu\]"$'):
        distribute.preflight(net(), 16)


def test_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(
        "import keras\n\ndef build_model():\n"
        "    model = keras.Sequential([keras.Input((128,)), keras.layers.Dense(256)])\n"
        "    model.compile('adam', 'mse')\n    return model\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_DLOPT_CACHE", str(tmp_path / "cache"))
    arguments = ["preflight", "train:build_model", "--batch", "64", "--json", "found.json", "--no-predict"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert "train step compiles" in said.out and "train step, batch 64, for v5e-8: compiled in" in said.err
    assert json.loads(pathlib.Path("found.json").read_text())[0]["compiles"]
    assert cli.main(["preflight", "train:nothing", "--batch", "64"]) == 2
    assert "'train' has no function 'nothing'" in capsys.readouterr().err


@pytest.mark.skipif(TENSORFLOW, reason="the compiler's process is the same on both backends")
def test_after_ctrl_c_the_next_program_gets_its_own_answer(compiler):
    def parameters(units):
        model = keras.Sequential([layers.Input((128,)), layers.Dense(units, use_bias=False)])
        model.compile("sgd", "mse")
        report = distribute.preflight(model, 8, "v5e-1", predict=False, compiler=compiler)
        return report.train.hbm["parameters"] / (4 * 128)

    def interrupted():
        raise KeyboardInterrupt  # no signal: a process in the background may ignore it

    assert parameters(128) == 128
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compiler, "_lines", types.SimpleNamespace(get=interrupted))
        parameters(512)
    assert parameters(256) == 256


@pytest.mark.skipif(TENSORFLOW, reason="the compiler's process is the same on both backends")
def test_a_module_beside_the_script_is_not_the_compilers(tmp_path, monkeypatch):
    (tmp_path / "compression.py").write_text("raise RuntimeError('not the module that JAX asks for')")
    monkeypatch.syspath_prepend(tmp_path)
    with distribute.Compiler(progress=False, cache=None) as compiler:
        assert distribute.preflight(dense(), 64, "v5e-8", predict=False, compiler=compiler).compiles


@pytest.mark.skipif(TENSORFLOW, reason="the compiler's process is the same on both backends")
def test_a_folder_that_cannot_keep_the_answer_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    with distribute.Compiler(progress=False, cache=tmp_path / "file" / "folder") as compiler:
        with pytest.warns(UserWarning, match=r"answer is not kept in .*folder \(Not a directory\).*KERAS_DLOPT_CACHE"):
            assert distribute.preflight(dense(), 64, "v5e-8", predict=False, compiler=compiler).compiles
