"""What a task is."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: a model, the loss of a batch, batches, and the value that optimizers are compared by.

    Attributes:
        measure: what the value is, for the report; lower is better.
        steps: length of a full run, a multiple of 20.
        model: makes the model, with fresh weights.
        loss: (model, batch) -> scalar.
        batches: (generator, steps) -> arrays whose first axis is the step.
        values: split -> function model -> scalar: learning rates are chosen by "validation", "test" is reported.
            Where the optimum is known in closed form both are the distance to it.
        trials: how many learning rates each optimizer may try.
        finalists: how many of the best it may try with two more seeds; 1 for none.
        arguments: what every optimizer gets besides its own defaults.
    """

    measure: str
    steps: int
    model: Callable
    loss: Callable
    batches: Callable
    values: dict
    trials: int = 10
    finalists: int = 3
    arguments: dict = dataclasses.field(default_factory=dict)


def indices(count, batch_size):
    """Batches of numbers below `count`, drawn with replacement."""

    def batches(generator, steps):
        return (generator.integers(0, count, size=(steps, batch_size)).astype("int32"),)

    return batches
