"""What is printed in a terminal, in a file and in CI."""

import io

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_dlopt import callbacks
from keras_dlopt.callbacks import progress_bar


def printed(monkeypatch, capsys, terminal, ci):
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(progress_bar, "_REFRESH", 0)
    monkeypatch.setattr(progress_bar, "_LINE", 0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
    model.compile(keras.optimizers.SGD(0.25), "mse", jit_compile=keras.backend.backend() == "jax")
    bar = callbacks.ProgressBar()
    bar.console = Console(file=io.StringIO(), force_terminal=terminal, width=150)
    x, y = np.ones((8, 2)), np.ones((8, 8))
    model.fit(x, y, 2, epochs=2, validation_data=(x, y), callbacks=[callbacks.Prune(0.5, end=4), bar], verbose=1)
    assert capsys.readouterr().out == ""  # Keras's own bar is off
    return bar.console.file.getvalue()


@pytest.mark.both_backends
def test_ci_has_a_line_an_epoch(monkeypatch, capsys):
    first, second = printed(monkeypatch, capsys, terminal=True, ci=True).splitlines()
    assert first.startswith("epoch 1/2 in ") and second.startswith("epoch 2/2 in ")
    for shown in (" batches/s ", " loss ", " val_loss ", " learning_rate 0.25", " sparsity 0.5"):
        assert shown in second


def test_a_file_has_lines_within_an_epoch_too(monkeypatch, capsys):
    lines = printed(monkeypatch, capsys, terminal=False, ci=False).splitlines()
    assert len(lines) == 10 and "\x1b" not in "".join(lines)
    assert lines[1].startswith("epoch 1/2 batch 2/4, ") and " s left, " in lines[1]


def test_a_terminal_has_a_bar_and_a_line_an_epoch(monkeypatch, capsys):
    text = printed(monkeypatch, capsys, terminal=True, ci=False)
    assert "━" in text and text.count("epoch 2/2 in ") == 1 and "epoch 1/2 batch" not in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text  # the cursor is back
