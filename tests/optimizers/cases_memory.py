"""What `keras_dlopt.optimizers.memory` is held against."""

from references import Case, from_keras, from_torch
from references_memory import adam_mini, apollo, galore, galore_of_pytorch_optimizer, sm3

CAME_NAMES = {"betas": (0.9, 0.999, 0.9999), "foreach": False}

# Projections that are refreshed within the steps of a trajectory; the other matrix wide instead of tall.
LOW_RANK = {"rank": 2, "update_proj_gap": 30, "epsilon": 1e-6}
WIDE = {"input_axes": {"w3": 2}}

CASES = [
    Case("Adafactor", from_keras("Adafactor")),
    Case("Adafactor", from_keras("Adafactor"), {"relative_step": False, "clip_threshold": 0.7}, "clipped"),
    Case("SM3", sm3),
    Case("CAME", from_torch("pytorch_optimizer", "CAME", **CAME_NAMES)),
    Case("AdamMini", adam_mini),
    Case("GaLore", galore, LOW_RANK | {"scale": 0.5}),
    Case("GaLore", galore, LOW_RANK | WIDE, "wide"),
    Case("GaLore", galore_of_pytorch_optimizer, {"rank": 3}, "one projection"),
    Case("APOLLO", apollo, LOW_RANK),
    Case("APOLLO", apollo, LOW_RANK | WIDE | {"rank": 4, "scale": 2.0, "growth_limit": None}, "wide, unlimited"),
    Case("APOLLO", apollo, LOW_RANK | {"rank": 1, "scale": 8**0.5, "scale_type": "tensor", "seed": 3}, "mini"),
]
