"""Smaller and faster models: pruning, clustering, quantization, distillation, LiteRT export, and what was gained."""

import importlib

from keras_dlopt.compress.clustering import cluster
from keras_dlopt.compress.distillation import distill
from keras_dlopt.compress.export import Exported, export
from keras_dlopt.compress.factorization import factorize
from keras_dlopt.compress.litert import LatencyRatio, latency_ratio
from keras_dlopt.compress.pruning import prune
from keras_dlopt.compress.quantization import calibrate, quantize_aware
from keras_dlopt.compress.removal import remove_channels
from keras_dlopt.compress.report import Report, report

__all__ = [
    "Exported",
    "LatencyRatio",
    "Report",
    "bridge",
    "calibrate",
    "cluster",
    "distill",
    "export",
    "factorize",
    "latency_ratio",
    "prune",
    "quantize_aware",
    "remove_channels",
    "report",
]


def __getattr__(name):
    if name in ("bridge", "tfmot"):  # these bring tf_keras, which takes its time
        return importlib.import_module(f"keras_dlopt.compress.{name}")
    raise AttributeError(f"module 'keras_dlopt.compress' has no attribute {name!r}")
