"""Optimizers: one rule a file, one executor behind them, one table of all.

Each is a plain `keras.optimizers.Optimizer`: pass it to `model.compile`, or name it there once this is imported.
"""

from keras_dlopt.optimizers.curvature import *  # noqa: F403
from keras_dlopt.optimizers.drop_in import *  # noqa: F403
from keras_dlopt.optimizers.executor import training_step as _training_step
from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.first_order import *  # noqa: F403
from keras_dlopt.optimizers.from_keras import from_keras
from keras_dlopt.optimizers.layerwise_decay import layerwise_decay
from keras_dlopt.optimizers.matrix import *  # noqa: F403
from keras_dlopt.optimizers.memory import *  # noqa: F403
from keras_dlopt.optimizers.minimize import minimize
from keras_dlopt.optimizers.rate_free import *  # noqa: F403
from keras_dlopt.optimizers.schedule_free import *  # noqa: F403
from keras_dlopt.optimizers.table import TABLE, WRAPPERS, get, names
from keras_dlopt.optimizers.wrappers import *  # noqa: F403

_training_step.install()

__all__ = [
    "TABLE",
    "WRAPPERS",
    "Optimizer",
    "from_keras",
    "get",
    "layerwise_decay",
    "minimize",
    "names",
    *TABLE,
    *WRAPPERS,
]
