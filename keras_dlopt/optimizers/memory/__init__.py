"""Rules whose state is smaller than the weights, or a small multiple of their rows and columns."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.memory.adafactor import Adafactor
from keras_dlopt.optimizers.memory.adam_mini import AdamMini
from keras_dlopt.optimizers.memory.apollo import APOLLO
from keras_dlopt.optimizers.memory.came import CAME
from keras_dlopt.optimizers.memory.galore import GaLore
from keras_dlopt.optimizers.memory.sm3 import SM3

ROWS = (
    Row(Adafactor, "mended", "arXiv 1804.04235", 0, "keras.optimizers.Adafactor"),
    Row(SM3, "memory", "arXiv 1901.11150", 4, "optax.sm3"),
    Row(CAME, "memory", "arXiv 2307.02047", 4, "pytorch_optimizer.CAME"),
    Row(AdamMini, "memory", "arXiv 2406.16793", 4, "the paper's equations"),
    Row(GaLore, "memory", "arXiv 2403.03507", 3, "pytorch_optimizer.GaLore"),
    Row(APOLLO, "memory", "arXiv 2412.05270", 4, "the paper's equations"),
)

__all__ = [row.name for row in ROWS]
