"""Rules that see a kernel as a matrix."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.matrix.kron import Kron
from keras_dlopt.optimizers.matrix.muon import Muon
from keras_dlopt.optimizers.matrix.normuon import NorMuon
from keras_dlopt.optimizers.matrix.shampoo import Shampoo
from keras_dlopt.optimizers.matrix.soap import SOAP

ROWS = (
    Row(Muon, "mended", "Jordan et al. 2024, arXiv 2502.16982", 4, "optax.contrib.muon, torch.optim.Muon"),
    Row(NorMuon, "matrix", "arXiv 2510.05491", 4, "pytorch_optimizer.NorMuon"),
    Row(Shampoo, "matrix", "arXiv 1802.09568, 2309.06497", 24, "the papers' equations"),
    Row(SOAP, "matrix", "arXiv 2409.11321", 24, "pytorch_optimizer.SOAP"),
    Row(Kron, "matrix", "arXiv 1512.04202, 2402.04553", 12, "the papers' equations"),
)

__all__ = [row.name for row in ROWS]
