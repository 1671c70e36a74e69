"""Everything a user puts in `model.fit(callbacks=[...])`.

Every schedule of `keras_dlopt.schedules` is here under its own name, as a callback over the length of the run.
"""

from keras_dlopt.callbacks.average_weights import AverageWeights
from keras_dlopt.callbacks.batch_size_schedule import BatchSizeSchedule
from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.cluster import Cluster
from keras_dlopt.callbacks.freeze_layers import FreezeLayers
from keras_dlopt.callbacks.gradual_unfreeze import GradualUnfreeze
from keras_dlopt.callbacks.learning_rate_finder import LearningRateFinder
from keras_dlopt.callbacks.non_finite_guard import NonFiniteGuard
from keras_dlopt.callbacks.progress_bar import ProgressBar
from keras_dlopt.callbacks.progressive_resizing import ProgressiveResizing
from keras_dlopt.callbacks.prune import Prune
from keras_dlopt.callbacks.recipe import from_recipe, recipe_schema
from keras_dlopt.callbacks.record_optimizer import RecordOptimizer
from keras_dlopt.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from keras_dlopt.callbacks.resume_exactly import ResumeExactly
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS, ScheduleCallback
from keras_dlopt.callbacks.selective_backprop import SelectiveBackprop
from keras_dlopt.callbacks.sequence_length_warmup import SequenceLengthWarmup
from keras_dlopt.callbacks.stochastic_depth import StochasticDepth
from keras_dlopt.callbacks.stop_on_target import StopOnTarget
from keras_dlopt.callbacks.throughput import Throughput
from keras_dlopt.callbacks.time_budget import TimeBudget

globals().update(SCHEDULE_CALLBACKS)

__all__ = [
    "AverageWeights",
    "BatchSizeSchedule",
    "Callback",
    "Cluster",
    "FreezeLayers",
    "GradualUnfreeze",
    "LearningRateFinder",
    "NonFiniteGuard",
    "ProgressBar",
    "ProgressiveResizing",
    "Prune",
    "RecordOptimizer",
    "ReduceLROnPlateau",
    "ResumeExactly",
    "ScheduleCallback",
    "SelectiveBackprop",
    "SequenceLengthWarmup",
    "StochasticDepth",
    "StopOnTarget",
    "Throughput",
    "TimeBudget",
    "from_recipe",
    "recipe_schema",
    *SCHEDULE_CALLBACKS,
]
