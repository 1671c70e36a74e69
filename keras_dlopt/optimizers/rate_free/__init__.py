"""Rules that find the learning rate themselves."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.rate_free.dadapt_adam import DAdaptAdam
from keras_dlopt.optimizers.rate_free.dadapt_sgd import DAdaptSGD
from keras_dlopt.optimizers.rate_free.dog import DoG, LDoG
from keras_dlopt.optimizers.rate_free.dowg import DoWG
from keras_dlopt.optimizers.rate_free.prodigy import Prodigy

ROWS = (
    Row(Prodigy, "learning-rate free", "arXiv 2306.06101", 16, "prodigyopt.Prodigy"),
    Row(DAdaptAdam, "learning-rate free", "arXiv 2301.07733", 12, "dadaptation.DAdaptAdam"),
    Row(DAdaptSGD, "learning-rate free", "arXiv 2301.07733", 8, "dadaptation.DAdaptSGD"),
    Row(DoG, "learning-rate free", "arXiv 2302.12022", 4, "dog.DoG"),
    Row(LDoG, "learning-rate free", "arXiv 2302.12022", 4, "dog.LDoG"),
    Row(DoWG, "learning-rate free", "arXiv 2305.16284", 4, "optax.contrib.dowg"),
)

__all__ = [row.name for row in ROWS]
