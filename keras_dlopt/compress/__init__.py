"""Smaller and faster models: quantization-aware training, distillation, LiteRT export, and what was gained."""

from keras_dlopt.compress.distillation import distill
from keras_dlopt.compress.export import Exported, export
from keras_dlopt.compress.litert import LatencyRatio, latency_ratio
from keras_dlopt.compress.pruning import prune
from keras_dlopt.compress.quantization import quantize_aware
from keras_dlopt.compress.removal import remove_channels
from keras_dlopt.compress.report import Report, report

__all__ = [
    "Exported",
    "LatencyRatio",
    "Report",
    "distill",
    "export",
    "latency_ratio",
    "prune",
    "quantize_aware",
    "remove_channels",
    "report",
]
