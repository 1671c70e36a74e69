"""First-order rules beyond Keras's own."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.first_order.adabelief import AdaBelief
from keras_dlopt.optimizers.first_order.adan import Adan
from keras_dlopt.optimizers.first_order.ademamix import AdEMAMix
from keras_dlopt.optimizers.first_order.adopt import ADOPT
from keras_dlopt.optimizers.first_order.gradient_descent import GradientDescent
from keras_dlopt.optimizers.first_order.radam import RAdam
from keras_dlopt.optimizers.first_order.yogi import Yogi

ROWS = (
    Row(GradientDescent, "first order", "Cauchy 1847", 0, "keras.optimizers.SGD"),
    Row(AdaBelief, "first order", "arXiv 2010.07468", 8, "optax.adabelief"),
    Row(Adan, "first order", "arXiv 2208.06677", 16, "pytorch_optimizer.Adan"),
    Row(RAdam, "first order", "arXiv 1908.03265", 8, "torch.optim.RAdam"),
    Row(Yogi, "first order", "NeurIPS 2018", 8, "optax.yogi"),
    Row(ADOPT, "first order", "arXiv 2411.02853", 8, "optax.contrib.adopt"),
    Row(AdEMAMix, "first order", "arXiv 2409.03137", 12, "optax.contrib.ademamix"),
)

__all__ = [row.name for row in ROWS]
