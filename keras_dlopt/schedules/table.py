"""The table of all schedules: what callbacks, the docs' plot and the tests are made from."""

import dataclasses

import keras

from keras_dlopt.schedules.constant import Constant
from keras_dlopt.schedules.cosine_decay import CosineDecay
from keras_dlopt.schedules.cosine_restarts import CosineRestarts
from keras_dlopt.schedules.cyclical import Cyclical
from keras_dlopt.schedules.exponential_decay import ExponentialDecay
from keras_dlopt.schedules.inverse_square_root import InverseSquareRoot
from keras_dlopt.schedules.join import Join
from keras_dlopt.schedules.linear_decay import LinearDecay
from keras_dlopt.schedules.multiply import Multiply
from keras_dlopt.schedules.noam import Noam
from keras_dlopt.schedules.one_cycle import OneCycle, OneCycleMomentum
from keras_dlopt.schedules.piecewise_constant import PiecewiseConstant
from keras_dlopt.schedules.polynomial_decay import PolynomialDecay
from keras_dlopt.schedules.ramp import Ramp
from keras_dlopt.schedules.rex import REX
from keras_dlopt.schedules.schedule import Schedule
from keras_dlopt.schedules.step_decay import StepDecay
from keras_dlopt.schedules.warmup import Warmup
from keras_dlopt.schedules.warmup_cosine import WarmupCosine
from keras_dlopt.schedules.warmup_stable_decay import WarmupStableDecay


@dataclasses.dataclass(frozen=True)
class Row:
    """One schedule: its class, what it is tested against, an example without `steps`, and what its callback is of."""

    schedule: type[Schedule]
    tested_against: str
    example: Schedule
    of: str = "learning_rate"

    @property
    def name(self):
        return self.schedule.__name__


_ROWS = (
    Row(Constant, "optax", Constant(1.0)),
    Row(LinearDecay, "optax, torch", LinearDecay(1.0)),
    Row(CosineDecay, "optax, torch", CosineDecay(1.0)),
    Row(PolynomialDecay, "optax, torch", PolynomialDecay(1.0)),
    Row(ExponentialDecay, "optax, torch", ExponentialDecay(1.0)),
    Row(InverseSquareRoot, "transformers", InverseSquareRoot(1.0)),
    Row(StepDecay, "torch", StepDecay(1.0)),
    Row(PiecewiseConstant, "torch, optax", PiecewiseConstant([1.0, 0.5, 0.1], [0.4, 0.8])),
    Row(REX, "pytorch-optimizer", REX(1.0)),
    Row(WarmupCosine, "optax", WarmupCosine(1.0)),
    Row(WarmupStableDecay, "transformers", WarmupStableDecay(1.0)),
    Row(Noam, "the paper's formula", Noam(1, warmup=0.1, factor=10.0)),
    Row(OneCycle, "torch", OneCycle(1.0)),
    Row(OneCycleMomentum, "torch", OneCycleMomentum(), of="momentum"),
    Row(CosineRestarts, "torch, timm", CosineRestarts(1.0, first=1 / 7, growth=2.0, decay=0.7)),
    Row(Cyclical, "torch", Cyclical(1.0, floor=0.1, mode="triangular2")),
    Row(Ramp, "optax, DINO's formula", Ramp(1.0, start=0.1, shape="cosine")),
    Row(Warmup, "optax, transformers", Warmup(InverseSquareRoot(1.0), warmup=0.1)),
    Row(Join, "optax", Join([Ramp(1.0), Constant(1.0), PolynomialDecay(1.0)], [0.15, 0.5])),
    Row(Multiply, "the factors", Multiply([LinearDecay(1.0), StepDecay(1.0, decay=0.5)])),
)

TABLE = {row.name: row for row in _ROWS}

for _row in _ROWS:
    keras.saving.register_keras_serializable("keras_dlopt")(_row.schedule)

__all__ = ["TABLE", *TABLE]
