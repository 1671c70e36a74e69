"""A row of the table of all optimizers."""

import dataclasses

import keras


@dataclasses.dataclass(frozen=True)
class Row:
    """One optimizer: its class, where it comes from, its state in bytes a parameter, and what it is tested against."""

    optimizer: type[keras.optimizers.Optimizer]
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
