"""How far Keras 3 and its twin across the bridge are apart: every layer, and every family of keras.applications.

    python benchmarks/bridge.py            # what is missing in bridge.json, then the tables in docs/tfmot.md
    python benchmarks/bridge.py --again    # everything

The layers are the cases of tests/compress/test_bridge.py, with random weights on random numbers. The applications, of
each family the smallest, have random kernels, biases and statistics, and random images; their logits are compared. The
difference is the largest of all outputs, divided by the largest output.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import gc
import importlib.util
import json
import pathlib

import keras
import numpy as np

from keras_dlopt.atomic import replacing
from keras_dlopt.compress import bridge

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "bridge.json"
PAGE = ROOT / "docs" / "tfmot.md"
FAMILIES = {
    "ConvNeXtTiny": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "VGG16": 64,
    "Xception": 71,
}


def cases():
    """The tests' module, which holds a table of layers."""
    spec = importlib.util.spec_from_file_location("cases", ROOT / "tests" / "compress" / "test_bridge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(model, data):
    twin = bridge.to_tf_keras(model)
    data = [keras.ops.convert_to_tensor(array) for array in data]
    largest = 0.0
    for ours, theirs in zip(*(keras.tree.flatten(made(data)) for made in (model, twin)), strict=True):
        ours, theirs = (np.asarray(array, "float64") for array in (ours, theirs))
        largest = max(largest, float(np.abs(ours - theirs).max() / max(1e-30, np.abs(ours).max())))
    return largest


def layer(table, on, name):
    inputs, data, given = table.inputs_and_data(on)
    model = keras.Model(inputs, table.ON[on][name]()(given))
    table.random_weights(model)
    return difference(model, data)


def application(table, name):
    size = FAMILIES[name]
    how = {"weights": None, "input_shape": (size, size, 3), "classes": 10, "classifier_activation": None}
    model = getattr(keras.applications, name)(**how)
    table.trained_a_little(model)
    return difference(model, [np.random.default_rng(0).uniform(0, 1, (2, size, size, 3)).astype("float32")])


def tables(found):
    lines = ["| Application | Largest difference |", "|---|---|"]
    lines += [f"| {name} | {found['applications'][name]:.1e} |" for name in FAMILIES if name in found["applications"]]
    lines += ["", "| Layer | Largest difference |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value:.1e} |" for name, value in sorted(found["layers"].items()))])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="measure what is measured already, too")
    found = {"layers": {}, "applications": {}}
    if RESULTS.exists() and not parser.parse_args().again:
        found = json.loads(RESULTS.read_text())
    table = cases()
    work = [
        ("layers", name, lambda on=on, name=name: layer(table, on, name)) for on in table.ON for name in table.ON[on]
    ]
    work += [("applications", name, lambda name=name: application(table, name)) for name in FAMILIES]
    for kind, name, measure in work:
        if name not in found[kind]:
            keras.utils.set_random_seed(0)
            found[kind][name] = measure()
            print(f"{name}: {found[kind][name]:.1e}", flush=True)
            with replacing(RESULTS) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            keras.backend.clear_session()
            gc.collect()
    before, _, rest = PAGE.read_text().partition("<!-- measured -->\n")
    after = rest.partition("<!-- end -->")[2]
    with replacing(PAGE) as temporary:
        pathlib.Path(temporary).write_text(f"{before}<!-- measured -->\n{tables(found)}\n<!-- end -->{after}")


if __name__ == "__main__":
    main()
