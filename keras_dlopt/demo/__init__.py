"""The main job: an optimization ladder on a real task, from gradient descent to a pruned int8 model."""

from keras_dlopt.demo.run import run
from keras_dlopt.demo.tasks import Unavailable

__all__ = ["Unavailable", "run"]
