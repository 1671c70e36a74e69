"""First-order rules beyond Keras's own."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.first_order.adabelief import AdaBelief
from keras_dlopt.optimizers.first_order.adan import Adan
from keras_dlopt.optimizers.first_order.adapnm import AdaPNM
from keras_dlopt.optimizers.first_order.ademamix import AdEMAMix
from keras_dlopt.optimizers.first_order.adopt import ADOPT
from keras_dlopt.optimizers.first_order.amos import Amos
from keras_dlopt.optimizers.first_order.gradient_descent import GradientDescent
from keras_dlopt.optimizers.first_order.lars import LARS
from keras_dlopt.optimizers.first_order.madgrad import MADGRAD
from keras_dlopt.optimizers.first_order.mars import MARS
from keras_dlopt.optimizers.first_order.momo import MoMo
from keras_dlopt.optimizers.first_order.nadamw import NAdamW
from keras_dlopt.optimizers.first_order.novograd import NovoGrad
from keras_dlopt.optimizers.first_order.polyak_sgd import PolyakSGD
from keras_dlopt.optimizers.first_order.radam import RAdam
from keras_dlopt.optimizers.first_order.signum import Signum
from keras_dlopt.optimizers.first_order.spam import SPAM
from keras_dlopt.optimizers.first_order.stable_adamw import StableAdamW
from keras_dlopt.optimizers.first_order.tiger import Tiger
from keras_dlopt.optimizers.first_order.yogi import Yogi

ROWS = (
    Row(GradientDescent, "first order", "Cauchy 1847", 0, "keras.optimizers.SGD"),
    Row(PolyakSGD, "first order", "arXiv 2002.10542", 0, "optax.polyak_sgd"),
    Row(MoMo, "first order", "arXiv 2305.07583", 4, "optax.contrib.momo"),
    Row(Signum, "first order", "arXiv 1802.04434", 4, "optax.signum"),
    Row(Tiger, "first order", "Su Jianlin 2023", 4, "the author's update, written out"),
    Row(LARS, "first order", "arXiv 1708.03888", 4, "the paper, written out; optax.lars"),
    Row(NovoGrad, "first order", "arXiv 1905.11286", 4, "optax.novograd"),
    Row(NAdamW, "first order", "Dozat 2016", 8, "optax.nadamw"),
    Row(RAdam, "first order", "arXiv 1908.03265", 8, "torch.optim.RAdam"),
    Row(Yogi, "first order", "NeurIPS 2018", 8, "optax.yogi"),
    Row(AdaBelief, "first order", "arXiv 2010.07468", 8, "optax.adabelief"),
    Row(Adan, "first order", "arXiv 2208.06677", 16, "pytorch_optimizer.Adan"),
    Row(ADOPT, "first order", "arXiv 2411.02853", 8, "optax.contrib.adopt"),
    Row(AdEMAMix, "first order", "arXiv 2409.03137", 12, "optax.contrib.ademamix"),
    Row(MARS, "first order", "arXiv 2411.10438", 12, "pytorch_optimizer.MARS"),
    Row(StableAdamW, "first order", "arXiv 2304.13013", 8, "pytorch_optimizer.StableAdamW"),
    Row(AdaPNM, "first order", "arXiv 2103.17182", 16, "pytorch_optimizer.AdaPNM"),
    Row(Amos, "first order", "arXiv 2210.11693", 0, "the paper, written out"),
    Row(SPAM, "first order", "arXiv 2501.06842", 8, "the paper, written out"),
    Row(MADGRAD, "first order", "arXiv 2101.11075", 12, "pytorch_optimizer.MADGRAD"),
)

__all__ = [row.name for row in ROWS]
