"""The ten rungs, as data: what each adds to the one before, and how it is trained."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from keras_dlopt import callbacks, compress, optimizers
from keras_dlopt.demo.tasks import Unavailable

SPARSITY = 0.8


class NotPossible(Exception):
    """This rung cannot be done for this task; the message says why and stands in the report."""


# How a rung begins: each gives the model it is about, and what to fit to train it.


def fresh(job):
    """The full network with new weights."""
    model = job.task.network("full")
    return model, model


def distilled(job):
    """The small network with new weights, taught by the model of the rung it needs."""
    student = job.task.network("student")
    return student, compress.distill(job.before[job.rung.needs], student, temperature=2.0, alpha=0.7)


def continued(job):
    """A copy of the model of the rung it needs."""
    before = job.before[job.rung.needs]
    model = keras.models.clone_model(before)
    model.set_weights(before.get_weights())
    return model, model


def quantized(job):
    """The same with 8-bit rounding of weights and activations in the forward pass."""
    try:
        model = compress.quantize_aware(job.before[job.rung.needs])
    except ValueError as error:
        raise NotPossible(str(error)) from error
    return model, model


@dataclass(frozen=True)
class Rung:
    """One rung.

    Args:
        number: its place, from 1.
        title: for the table.
        adds: one sentence for the report.
        optimizer: class of `keras_dlopt.optimizers`.
        options: its arguments apart from the learning rate.
        start: one of the functions above; raises `NotPossible` where the task has no such rung.
        schedule: whether the learning rate warms up and decays; else it is constant.
        prune: `callbacks.Prune` or how to make one, if any.
        full_batch: whether one step sees all rows: the gradients of an epoch's batches are averaged.
        augment: whether the inputs are augmented.
        needs: number of the rung whose model it learns from or continues, if any.
        int8: whether it is exported in 8-bit integers; else in float32.
    """

    number: int
    title: str
    adds: str
    optimizer: type
    options: dict = field(default_factory=dict)
    start: Callable = fresh
    schedule: bool = False
    prune: Callable | None = None
    full_batch: bool = False
    augment: bool = False
    needs: int | None = None
    int8: bool = False

    @property
    def continues(self):
        """Whether it trains an already trained model further, so that its epochs come on top."""
        return self.start in (continued, quantized)

    def make_optimizer(self, learning_rate, steps):
        """The optimizer; `steps` is the number of batches in an epoch."""
        accumulate = {"gradient_accumulation_steps": steps} if self.full_batch and steps > 1 else {}
        return self.optimizer(learning_rate, **self.options, **accumulate)

    def make_callbacks(self, learning_rate):
        """What goes into `model.fit(callbacks=[...])`."""
        made = [callbacks.WarmupCosine(learning_rate, warmup=0.1)] if self.schedule else []
        return made + ([self.prune()] if self.prune else [])


ADAMW = {"optimizer": optimizers.AdamW, "options": {"weight_decay": 0.05}, "schedule": True}

RUNGS = (
    Rung(
        1,
        "full-batch gradient descent",
        "One step an epoch, along the mean gradient of all training rows.",
        optimizers.GradientDescent,
        full_batch=True,
    ),
    Rung(
        2,
        "SGD",
        "A step after every batch: noisier, and as many more steps as there are batches.",
        optimizers.SGD,
    ),
    Rung(
        3,
        "SGD + momentum",
        "Steps accumulate along directions that persist.",
        optimizers.SGD,
        {"momentum": 0.9},
    ),
    Rung(4, "RMSprop", "Each weight's step is divided by its gradient's recent size.", optimizers.RMSprop),
    Rung(5, "Adam", "Momentum and RMSprop together.", optimizers.Adam),
    Rung(
        6,
        "AdamW + WarmupCosine",
        "Decoupled weight decay; the learning rate warms up over 10 % of the run, then falls on a cosine to 0.",
        **ADAMW,
    ),
    Rung(
        7,
        "+ augmentation",
        "The same on inputs that are changed at random every epoch.",
        augment=True,
        **ADAMW,
    ),
    Rung(
        8,
        "student, distilled",
        "A smaller network learns from rung 7's answers besides the labels.",
        start=distilled,
        augment=True,
        needs=7,
        **ADAMW,
    ),
    Rung(
        9,
        f"+ pruned to {100 * SPARSITY:g} %",
        "The student trains on while the smallest weights of each kernel are set to zero.",
        start=continued,
        prune=lambda: callbacks.Prune(SPARSITY),
        augment=True,
        needs=8,
        **ADAMW,
    ),
    Rung(
        10,
        "+ int8",
        "The pruned student trains on with 8-bit rounding in the forward pass; zeros stay zero.",
        start=quantized,
        prune=callbacks.Prune.keep,
        augment=True,
        needs=9,
        int8=True,
        **ADAMW,
    ),
)


def choose(text):
    """The rungs that `text` names, such as "5,6,8-10", with those they build on, in order.

    Raises:
        Unavailable: naming what is not a rung.
    """
    wanted = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= len(RUNGS):
            accepted = f"numbers from 1 to {len(RUNGS)} and ranges of them, such as 5,6,8-10"
            raise Unavailable(f"--rungs must be {accepted}. Received: {part.strip()!r}")
        wanted |= set(range(low, high + 1))
    for number in sorted(wanted, reverse=True):
        while (number := RUNGS[number - 1].needs) is not None:
            wanted.add(number)
    return tuple(rung for rung in RUNGS if rung.number in wanted)
