"""Learning rates as pure functions of the step, computed inside the compiled step.

Each is a Keras `LearningRateSchedule`: pass it as `learning_rate=` to any optimizer, or use the callback of
the same name, which takes the number of steps from the run. Lengths are shares of the run in (0, 1) or whole
numbers of steps. Everything the formulas are made of is in `curves`; `schedule.Schedule` says how one is
declared.
"""

import keras

from keras_dlopt.schedules.one_cycle import OneCycle
from keras_dlopt.schedules.schedule import Schedule
from keras_dlopt.schedules.warmup_cosine import WarmupCosine

__all__ = ["OneCycle", "Schedule", "WarmupCosine"]

for _schedule in (OneCycle, WarmupCosine):
    keras.saving.register_keras_serializable("keras_dlopt")(_schedule)
