"""How far a run is, when it is not its steps that tell."""

from keras import ops

from keras_dlopt.step.observer import Observer


class Position(Observer):
    """Holds the share of the run that is behind, which the host writes between steps; a `Follow` can read it.

    Attributes:
        share: in [0, 1]; `None` before it is built.
    """

    share = None

    def build(self, optimizer, variables):
        self.share = self.add_variable((), "float32", name="share_of_run")

    def write(self, share):
        """Sets the share, between steps; of a model that is not built yet it stays 0."""
        if self.share is not None:
            self.share.assign(share)

    def advance(self, count, steps):
        """The step of a schedule over `steps` steps: `count`, or what the share says if that is further."""
        return ops.maximum(count, ops.cast(ops.round(self.share * (steps - 1)), count.dtype))
