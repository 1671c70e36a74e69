"""Optimizers: one rule a file, one executor behind them, one table of all.

Each is a plain `keras.optimizers.Optimizer`: pass it to `model.compile`, or name it there once this is imported.
"""

from keras_dlopt.optimizers.adabelief import AdaBelief
from keras_dlopt.optimizers.adam import Adam, AdamW
from keras_dlopt.optimizers.adan import Adan
from keras_dlopt.optimizers.gradient_descent import GradientDescent
from keras_dlopt.optimizers.lion import Lion
from keras_dlopt.optimizers.optimizer import Optimizer
from keras_dlopt.optimizers.radam import RAdam
from keras_dlopt.optimizers.rmsprop import RMSprop
from keras_dlopt.optimizers.sgd import SGD
from keras_dlopt.optimizers.table import TABLE, get, names

__all__ = [
    "TABLE",
    "AdaBelief",
    "Adam",
    "AdamW",
    "Adan",
    "GradientDescent",
    "Lion",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "SGD",
    "get",
    "names",
]
