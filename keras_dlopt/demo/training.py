"""Training one rung with one seed, all by `model.fit`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras


@dataclass(frozen=True)
class Job:
    """One rung with one seed.

    Args:
        task, rung: a `tasks.Task` and a `ladder.Rung`.
        seed: of the weights, the order of the rows and the augmentation.
        epochs: the budget.
        learning_rate: constant, or the peak of the rung's schedule.
        before: trained models of this seed, by rung number.
        watch: called with (epoch, its metrics) after every epoch.
        check: called after every execution of the step; may raise to end the run.
        callbacks: what else goes into the fit, e.g. TensorBoard.
    """

    task: object
    rung: object
    seed: int
    epochs: int
    learning_rate: float
    before: Mapping[int, keras.Model]
    watch: Callable = lambda epoch, metrics: None
    check: Callable = lambda: None
    callbacks: tuple = ()


@dataclass
class Trained:
    """What training left.

    Attributes:
        model: the trained model.
        epochs: one dictionary an epoch: `epoch` from 1, `seconds` since the start of `fit`, and the metrics.
    """

    model: keras.Model
    epochs: list = field(default_factory=list)

    @property
    def seconds(self):
        return self.epochs[-1]["seconds"]

    def reached(self, target):
        """The first epoch, from 1, whose validation accuracy is at least `target`, and the seconds until its end."""
        for epoch in self.epochs:
            if epoch["val_accuracy"] >= target:
                return epoch["epoch"], epoch["seconds"]
        return None, None


def train(job):
    """Trains; the same job gives the same weights on the same machine. Raises `ladder.NotPossible`."""
    keras.utils.set_random_seed(job.seed)
    model, fitted = job.rung.start(job)
    trained = Trained(model)
    steps = len(job.task.train[0]) // job.task.batch
    fitted.compile(
        job.rung.make_optimizer(job.learning_rate, steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA takes longer to compile networks this small than it saves.
        jit_compile=False,
        steps_per_execution=min(8, steps),
    )
    fitted.fit(
        job.task.rows(job.rung.augment, job.seed),
        epochs=job.epochs,
        shuffle=False,  # the dataset does
        validation_data=job.task.validation,
        validation_batch_size=256,
        callbacks=[*job.rung.make_callbacks(job.learning_rate), *job.callbacks, _Record(job, trained)],
        verbose=0,
    )
    return trained


class _Record(keras.callbacks.Callback):
    def __init__(self, job, trained):
        super().__init__()
        self.job, self.trained = job, trained

    def on_train_begin(self, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.job.check()

    def on_epoch_end(self, epoch, logs=None):
        metrics = {name: float(value) for name, value in logs.items()}
        seconds = time.perf_counter() - self.started
        self.trained.epochs.append({"epoch": epoch + 1, "seconds": seconds, **metrics})
        self.job.watch(epoch, metrics)
