"""Everything a user puts in `model.fit(callbacks=[...])`.

Every schedule of `keras_dlopt.schedules` is here under its own name, as a callback over the length of the run.
"""

from keras_dlopt.callbacks.callback import Callback
from keras_dlopt.callbacks.cluster import Cluster
from keras_dlopt.callbacks.prune import Prune
from keras_dlopt.callbacks.recipe import from_recipe, recipe_schema
from keras_dlopt.callbacks.record_optimizer import RecordOptimizer
from keras_dlopt.callbacks.resume_exactly import ResumeExactly
from keras_dlopt.callbacks.schedule import SCHEDULE_CALLBACKS, ScheduleCallback

globals().update(SCHEDULE_CALLBACKS)

__all__ = [
    "Callback",
    "Cluster",
    "Prune",
    "RecordOptimizer",
    "ResumeExactly",
    "ScheduleCallback",
    "from_recipe",
    "recipe_schema",
    *SCHEDULE_CALLBACKS,
]
