"""The table of all optimizers: what lists, docs and tests are made from."""

import dataclasses

import keras

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.adabelief import AdaBelief
from keras_dlopt.optimizers.adadelta import Adadelta
from keras_dlopt.optimizers.adagrad import Adagrad
from keras_dlopt.optimizers.adam import Adam, AdamW
from keras_dlopt.optimizers.adamax import Adamax
from keras_dlopt.optimizers.adan import Adan
from keras_dlopt.optimizers.ademamix import AdEMAMix
from keras_dlopt.optimizers.adopt import ADOPT
from keras_dlopt.optimizers.gradient_descent import GradientDescent
from keras_dlopt.optimizers.lion import Lion
from keras_dlopt.optimizers.optimizer import Optimizer
from keras_dlopt.optimizers.radam import RAdam
from keras_dlopt.optimizers.rmsprop import RMSprop
from keras_dlopt.optimizers.sgd import SGD
from keras_dlopt.optimizers.yogi import Yogi


@dataclasses.dataclass(frozen=True)
class Row:
    """One optimizer: its class, where it comes from, its state in bytes a parameter, and what it is tested against."""

    optimizer: type[Optimizer]
    family: str
    paper: str
    state_bytes: float
    tested_against: str

    @property
    def name(self):
        return self.optimizer.__name__

    @property
    def learning_rate(self):
        """The default learning rate."""
        return self.optimizer.__signature__.parameters["learning_rate"].default


_ROWS = (
    Row(GradientDescent, "first order", "Cauchy 1847", 0, "keras.optimizers.SGD"),
    Row(SGD, "drop-in", "Polyak 1964", 0, "keras.optimizers.SGD"),
    Row(RMSprop, "drop-in", "Hinton 2012", 4, "keras.optimizers.RMSprop"),
    Row(Adam, "drop-in", "arXiv 1412.6980", 8, "keras.optimizers.Adam"),
    Row(AdamW, "drop-in", "arXiv 1711.05101", 8, "keras.optimizers.AdamW"),
    Row(Adamax, "drop-in", "arXiv 1412.6980", 8, "keras.optimizers.Adamax"),
    Row(Adagrad, "drop-in", "Duchi et al. 2011", 4, "keras.optimizers.Adagrad"),
    Row(Adadelta, "drop-in", "arXiv 1212.5701", 8, "keras.optimizers.Adadelta"),
    Row(Lion, "drop-in", "arXiv 2302.06675", 4, "keras.optimizers.Lion"),
    Row(AdaBelief, "first order", "arXiv 2010.07468", 8, "optax.adabelief"),
    Row(Adan, "first order", "arXiv 2208.06677", 16, "pytorch_optimizer.Adan"),
    Row(RAdam, "first order", "arXiv 1908.03265", 8, "torch.optim.RAdam"),
    Row(Yogi, "first order", "NeurIPS 2018", 8, "optax.yogi"),
    Row(ADOPT, "first order", "arXiv 2411.02853", 8, "optax.contrib.adopt"),
    Row(AdEMAMix, "first order", "arXiv 2409.03137", 12, "optax.contrib.ademamix"),
)

TABLE = {row.name: row for row in _ROWS}

for _row in _ROWS:
    keras.saving.register_keras_serializable("keras_dlopt")(_row.optimizer)


def names(family=None):
    """The names of all optimizers, or of one family.

    Example:

    >>> names("drop-in")
    ['SGD', 'RMSprop', 'Adam', 'AdamW', 'Adamax', 'Adagrad', 'Adadelta', 'Lion']
    """
    families = {row.family for row in _ROWS}
    if family is not None and family not in families:
        raise invalid("names", "family", family, f"one of {sorted(families)}")
    return [row.name for row in _ROWS if family in (None, row.family)]


def get(identifier, **kwargs):
    """The optimizer of that name (upper or lower case alike), made with `kwargs`.

    Example:

    >>> get("adabelief", learning_rate=0.01).name
    'ada_belief'
    """
    found = {name.lower(): row for name, row in TABLE.items()}.get(str(identifier).lower())
    if found is None:
        raise invalid("get", "identifier", identifier, f"one of {', '.join(TABLE)}")
    return found.optimizer(**kwargs)
