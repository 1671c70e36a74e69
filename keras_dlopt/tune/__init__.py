"""Finding what a run needs before it is started: the learning rate, by a range test and by short trials."""

from keras_dlopt.tune.find_learning_rate import find_learning_rate
from keras_dlopt.tune.range_test import RangeTest
from keras_dlopt.tune.search_learning_rate import RateSearch, search_learning_rate

__all__ = ["RangeTest", "RateSearch", "find_learning_rate", "search_learning_rate"]
