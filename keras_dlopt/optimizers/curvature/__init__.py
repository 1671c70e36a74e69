"""Rules that estimate the loss's curvature."""

from keras_dlopt.optimizers.curvature.sophia import SophiaG, SophiaH
from keras_dlopt.optimizers.executor.row import Row

ROWS = (
    Row(SophiaG, "curvature", "arXiv 2305.14342", 8, "pytorch_optimizer.SophiaH, same estimates"),
    Row(SophiaH, "curvature", "arXiv 2305.14342", 8, "pytorch_optimizer.SophiaH, same estimates"),
)

__all__ = [row.name for row in ROWS]
