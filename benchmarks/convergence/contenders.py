"""Who takes part."""

import dataclasses

import keras

from keras_dlopt import optimizers

BASELINE = "AdamW"


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer at its defaults but for `arguments`; the learning rate is what the search is over.

    Attributes:
        optimizer: its name.
        arguments: what makes it another optimizer than the plain one of that name.
        schedule: what its learning rate follows, see `rates`: what its authors advise.
        module: where it comes from.
    """

    optimizer: str
    arguments: dict = dataclasses.field(default_factory=dict)
    schedule: str = "warm-up and cosine"
    module: object = optimizers

    def make(self, **arguments):
        """The optimizer, with a task's arguments."""
        return getattr(self.module, self.optimizer)(**self.arguments, **arguments)


CONTENDERS = {
    BASELINE: Contender("AdamW"),
    "AdamW of Keras": Contender("AdamW", module=keras.optimizers),
    "AdamW, as for language models": Contender("AdamW", {"beta_2": 0.95, "weight_decay": 0.1}),
    # By default variables as small as these keep float32.
    "AdamW, int8 state": Contender("AdamW", {"groups": [{"match": ".", "state_dtype": "int8"}]}),
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
    )
}
CONTENDERS["SOAP, bases of every step"] = Contender("SOAP", {"precondition_frequency": 1})
CONTENDERS["ScheduleFreeAdamW"] = Contender("ScheduleFreeAdamW", schedule="constant")
CONTENDERS["Prodigy"] = Contender("Prodigy", schedule="cosine")
CONTENDERS["DoG"] = Contender("DoG", {"use_ema": True}, schedule="constant")
