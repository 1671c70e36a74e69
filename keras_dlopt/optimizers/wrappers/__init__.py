"""Optimizers around another optimizer, ours or Keras's: they change its gradients, its updates or its weights."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.wrappers.adaptive_gradient_clipping import AdaptiveGradientClipping
from keras_dlopt.optimizers.wrappers.cautious import Cautious
from keras_dlopt.optimizers.wrappers.gradient_centralization import GradientCentralization
from keras_dlopt.optimizers.wrappers.gradient_noise import GradientNoise
from keras_dlopt.optimizers.wrappers.grokfast import Grokfast
from keras_dlopt.optimizers.wrappers.lookahead import Lookahead
from keras_dlopt.optimizers.wrappers.mechanic import Mechanic
from keras_dlopt.optimizers.wrappers.sam import ASAM, SAM

ROWS = (
    Row(Lookahead, "wrapper", "arXiv 1907.08610", 4, "optax.lookahead"),
    Row(Cautious, "wrapper", "arXiv 2411.16085", 0, "the authors' C-Optim, transcribed"),
    Row(Grokfast, "wrapper", "arXiv 2405.20233", 4, "pytorch_optimizer's gradfilter_ema"),
    Row(GradientCentralization, "wrapper", "arXiv 2004.01461", 0, "optax.contrib.centralize"),
    Row(AdaptiveGradientClipping, "wrapper", "arXiv 2102.06171", 0, "optax.adaptive_grad_clip"),
    Row(GradientNoise, "wrapper", "arXiv 1511.06807", 0, "the paper's equation"),
    Row(Mechanic, "learning-rate free", "arXiv 2306.00144", 4, "optax.contrib.mechanize"),
    Row(SAM, "wrapper", "arXiv 2010.01412", 0, "pytorch_optimizer.SAM"),
    Row(ASAM, "wrapper", "arXiv 2102.11600", 0, "pytorch_optimizer.SAM"),
)

__all__ = [row.name for row in ROWS]
