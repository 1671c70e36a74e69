"""Finding what a run needs before it is started: the learning rate, by a range test."""

from keras_dlopt.tune.find_learning_rate import find_learning_rate
from keras_dlopt.tune.range_test import RangeTest

__all__ = ["RangeTest", "find_learning_rate"]
