"""Who takes part."""

import dataclasses

import keras

from keras_dlopt import optimizers

BASELINE = "AdamW"


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer at its defaults but for `arguments`; the learning rate is what the search is over.

    Attributes:
        module: where it comes from.
        optimizer: its name there.
        arguments: what makes it another optimizer than the plain one of that name.
    """

    optimizer: str
    arguments: dict = dataclasses.field(default_factory=dict)
    module: object = optimizers

    def make(self, **arguments):
        """The optimizer, with a task's arguments."""
        return getattr(self.module, self.optimizer)(**self.arguments, **arguments)

    @property
    def scheduled(self):
        """Whether the learning rate follows a schedule: not where the point of the rule is to need none."""
        return optimizers.TABLE[self.optimizer].family not in ("schedule free", "learning-rate free")


CONTENDERS = {
    BASELINE: Contender("AdamW"),
    "AdamW of Keras": Contender("AdamW", module=keras.optimizers),
    "AdamW, beta_2=0.95": Contender("AdamW", {"beta_2": 0.95}),
    "AdamW, int8 state": Contender("AdamW", {"state_dtype": "int8"}),
    "SGD, Nesterov": Contender("SGD", {"momentum": 0.9, "nesterov": True}),
} | {
    name: Contender(name)
    for name in (
        "Lion",
        "Lamb",
        "RAdam",
        "NAdamW",
        "Adan",
        "ADOPT",
        "AdEMAMix",
        "MARS",
        "Adafactor",
        "Muon",
        "NorMuon",
        "SOAP",
        "Shampoo",
        "Kron",
        "ScheduleFreeAdamW",
        "Prodigy",
        "DoG",
    )
}
