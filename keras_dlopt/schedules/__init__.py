"""Learning rates as pure functions of the step, computed inside the compiled step.

Each is a Keras `LearningRateSchedule`: pass it as `learning_rate=` to any optimizer, or use the callback of
the same name, which takes the number of steps from the run. Lengths are shares of the run in (0, 1) or whole
numbers of steps. `TABLE` lists them all; `schedule.Schedule` says how one is declared, and everything the
formulas are made of is in `curves`.
"""

from keras_dlopt.schedules.schedule import Schedule
from keras_dlopt.schedules.table import *  # noqa: F403
from keras_dlopt.schedules.table import TABLE

__all__ = ["TABLE", "Schedule", *TABLE]
