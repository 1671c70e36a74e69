"""Optimizers: one rule a file, one executor behind them, one table of all.

Each is a plain `keras.optimizers.Optimizer`: pass it to `model.compile`, or name it there once this is imported.
"""

from keras_dlopt.optimizers.adabelief import AdaBelief
from keras_dlopt.optimizers.adadelta import Adadelta
from keras_dlopt.optimizers.adagrad import Adagrad
from keras_dlopt.optimizers.adam import Adam, AdamW
from keras_dlopt.optimizers.adamax import Adamax
from keras_dlopt.optimizers.adan import Adan
from keras_dlopt.optimizers.ademamix import AdEMAMix
from keras_dlopt.optimizers.adopt import ADOPT
from keras_dlopt.optimizers.gradient_descent import GradientDescent
from keras_dlopt.optimizers.lion import Lion
from keras_dlopt.optimizers.optimizer import Optimizer
from keras_dlopt.optimizers.radam import RAdam
from keras_dlopt.optimizers.rmsprop import RMSprop
from keras_dlopt.optimizers.sgd import SGD
from keras_dlopt.optimizers.table import TABLE, get, names
from keras_dlopt.optimizers.yogi import Yogi

__all__ = [
    "TABLE",
    "ADOPT",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "GradientDescent",
    "Lion",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "SGD",
    "Yogi",
    "get",
    "names",
]
