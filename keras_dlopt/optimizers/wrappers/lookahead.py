"""Lookahead."""

from keras import ops

from keras_dlopt.optimizers.executor.hyperparameters import Count, Share
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class Lookahead(Wrapper):
    r"""Slow weights that follow the optimizer's at a distance: every k steps part of the way, and it restarts there.

    $$\text{every } k \text{ steps:}\qquad \phi \leftarrow \phi + \alpha (w - \phi), \qquad w \leftarrow \phi$$

    The slow weights $\phi$ start as the weights before the first step. The inner optimizer's state (momentum) is kept
    across the restarts. The model holds the fast weights $w$ throughout: `evaluate`, validation and saved models see
    them as they are, which right after each k-th step are the slow ones; train a multiple of `sync_period` steps to
    end there.

    Args:
        optimizer: the optimizer of the fast weights, ours or Keras's.
        sync_period: k, steps between restarts, >= 1.
        slow_step: alpha, the part of the way that the slow weights go, in [0, 1].
        name: name of this wrapper.

    Memory: 4 bytes a parameter.

    Source: Zhang, Lucas, Hinton and Ba, arXiv 1907.08610.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([1.0]), Lookahead(keras.optimizers.SGD(0.25), sync_period=2)
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.ones(1)], [w])          # 1, 0.75, 0.5, and half of the way back
    >>> keras.ops.convert_to_numpy(w)
    array([0.75], dtype=float32)
    """

    sync_period: Count = 6
    slow_step: Share = 0.5
    moves_weights = True

    def make_state(self, variables):
        self._slow = self.add_copies(variables, "slow")
        self._steps = self.add_variable((), dtype="int32", name="steps")

    def around(self, update, gradients, variables, learning_rate):
        slow, steps = self.pick(self._slow, variables), replicas.read(self._steps)
        start = [
            ops.where(ops.equal(steps, 0), ops.cast(replicas.read(v), s.dtype), replicas.read(s))
            for v, s in zip(variables, slow, strict=True)
        ]
        update(gradients, variables, learning_rate)
        restart = ops.equal((steps + 1) % self.sync_period, 0)
        fast = [replicas.read(v) for v in variables]
        moved = [s + self.slow_step * (ops.cast(w, s.dtype) - s) for s, w in zip(start, fast, strict=True)]
        new_slow = [ops.where(restart, new, old) for new, old in zip(moved, start, strict=True)]
        new_fast = [ops.where(restart, ops.cast(new, w.dtype), w) for new, w in zip(moved, fast, strict=True)]
        replicas.write([*slow, *variables, self._steps], [*new_slow, *new_fast, steps + 1])
