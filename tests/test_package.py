"""The package as a whole: what importing costs and brings, README and docstring examples, the installed files."""

import doctest
import fnmatch
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys
import tomllib

import pytest

import keras_dlopt

ROOT = pathlib.Path(__file__).parent.parent
HEAVY = ("tensorflow_model_optimization", "tf_keras", "jax", "tensorboard", "matplotlib", "sklearn", "ai_edge_litert")


def modules():
    found = [m.name for m in pkgutil.walk_packages(keras_dlopt.__path__, "keras_dlopt.")]
    for folder, package in (("callbacks", "callbacks"), ("tpu_configs", "tpu_configs")):
        found.append(f"keras_dlopt.{package}")
        names = (m.name for m in pkgutil.iter_modules([str(ROOT / folder)]))
        found += [f"keras_dlopt.{package}.{name}" for name in names]
    return sorted(found)


def run_python(code, **env):
    import os

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_nothing_heavy():
    """Only what Keras itself brings, and no module of ours that needs more."""
    code = "import sys, keras; before = set(sys.modules); import keras_dlopt; print(*(set(sys.modules) - before))"
    brought = set(run_python(code).split())
    assert {name for name in brought if not name.startswith("keras_dlopt")} <= set(sys.stdlib_module_names)
    assert not {name.split(".")[0] for name in brought} & set(HEAVY)


def test_importing_registers_the_optimizers_and_schedules():
    code = """
import keras, keras_dlopt
for name in keras_dlopt.optimizers.names():
    assert keras.saving.get_registered_object("keras_dlopt>" + name) is getattr(keras_dlopt.optimizers, name)
for name in keras_dlopt.schedules.TABLE:
    assert keras.saving.get_registered_object("keras_dlopt>" + name) is getattr(keras_dlopt.schedules, name)
"""
    run_python(code)


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_public_optimizer_has_a_docstring_that_runs():
    for name in keras_dlopt.optimizers.names():
        doc = getattr(keras_dlopt.optimizers, name).__doc__
        assert "$$" in doc and "Args:" in doc and "Memory:" in doc and ">>>" in doc, name


def test_every_schedule_is_documented_as_a_function_and_as_a_callback():
    page = (ROOT / "docs" / "schedules.md").read_text()
    for name in keras_dlopt.schedules.TABLE:
        doc = getattr(keras_dlopt.schedules, name).__doc__
        assert "$$" in doc and "Args:" in doc and ">>>" in doc, name
        doc = getattr(keras_dlopt.callbacks, name).__doc__
        assert "$$" in doc and "\n    of: " in doc and doc.count("\n    steps: ") == 1 and ">>>" not in doc, name
        assert f"| `{name}(" in page, name


def test_the_readme_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    kernels = [w for w in names["model"].get_weights() if w.ndim > 1]
    zeros = sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert abs(zeros - 0.8) < 1e-3
    assert names["accuracy"] > 0.92


@pytest.mark.parametrize(
    "package, folder, count",
    [("keras_dlopt.tpu_configs", "tpu_configs", 7), ("keras_dlopt.tensorboard", "keras_dlopt/tensorboard/static", 1)],
)
def test_every_file_that_is_no_module_is_installed(package, folder, count):
    """Setuptools takes modules by itself, and other files only if a pattern of `package-data` matches."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert package in settings["packages"]
    home = ROOT / settings["package-dir"].get(package, package.replace(".", "/"))
    data = [path for path in (ROOT / folder).iterdir() if path.is_file() and path.suffix != ".py"]
    names = [str(path.relative_to(home)) for path in data]
    assert len(names) == count
    patterns = settings["package-data"][package]
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


def test_tensorboard_loads_the_plugin_without_keras():
    """As its entry point does, in a process that is TensorBoard's."""
    code = """
import sys, tensorboard.main, importlib.metadata
(entry,) = [e for e in importlib.metadata.entry_points(group="tensorboard_plugins") if e.name == "keras_dlopt"]
assert entry.load()().load.__name__ == "load"
assert not {"keras", "tensorflow", "jax", "matplotlib", "pandas"} & set(sys.modules), set(sys.modules)
"""
    run_python(code)


def test_a_missing_package_is_one_line_with_the_command_that_brings_it():
    from keras_dlopt import extras

    with pytest.raises(
        ImportError, match=r'`no_such_package`, which is not installed: pip install "keras-dlopt\[jax\]"'
    ):
        extras.require("no_such_package", "jax")
    with pytest.raises(ImportError, match=r"pip install keras-dlopt$"):
        extras.require("no_such_package.part")
