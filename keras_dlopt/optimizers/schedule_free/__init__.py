"""Rules that average the weights in place of a schedule."""

from keras_dlopt.optimizers.executor.row import Row
from keras_dlopt.optimizers.schedule_free.adamw import ScheduleFreeAdamW
from keras_dlopt.optimizers.schedule_free.radam import ScheduleFreeRAdam
from keras_dlopt.optimizers.schedule_free.sgd import ScheduleFreeSGD

ROWS = (
    Row(ScheduleFreeSGD, "schedule free", "arXiv 2405.15682", 4, "schedulefree.SGDScheduleFree"),
    Row(ScheduleFreeAdamW, "mended", "arXiv 2405.15682", 8, "schedulefree.AdamWScheduleFree"),
    Row(ScheduleFreeRAdam, "schedule free", "arXiv 2405.15682", 8, "schedulefree.RAdamScheduleFree"),
)

__all__ = [row.name for row in ROWS]
