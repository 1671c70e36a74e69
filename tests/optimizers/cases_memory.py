"""What `keras_dlopt.optimizers.memory` is held against."""

from references import Case, from_keras, from_torch
from references_memory import adam_mini, sm3

CAME_NAMES = {"betas": (0.9, 0.999, 0.9999), "foreach": False}

CASES = [
    Case("Adafactor", from_keras("Adafactor")),
    Case("Adafactor", from_keras("Adafactor"), {"relative_step": False, "clip_threshold": 0.7}, "clipped"),
    Case("SM3", sm3),
    Case("CAME", from_torch("pytorch_optimizer", "CAME", **CAME_NAMES)),
    Case("AdamMini", adam_mini),
]
