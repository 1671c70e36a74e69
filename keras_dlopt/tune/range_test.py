"""What a learning-rate range test measured, and the rates it suggests."""

import dataclasses

import numpy as np

from keras_dlopt.arguments import invalid
from keras_dlopt.tune.chart import chart


def smooth(losses, smoothing):
    r"""Exponential moving average with bias correction: $s_t / (1 - \beta^t)$, $s_t = \beta s_{t-1} + (1-\beta) l_t$.

    Example: 1, then (0.5 * 0.5 + 0.5 * 4) / 0.75.

    >>> smooth([1.0, 4.0], 0.5).tolist()
    [1.0, 3.0]
    """
    average, smoothed = 0.0, []
    for step, loss in enumerate(losses, 1):
        average = smoothing * average + (1 - smoothing) * loss
        smoothed.append(average / (1 - smoothing**step))
    return np.array(smoothed)


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """The losses of a range test, batch by batch, and three rates to begin with.

    Attributes:
        rates: learning rate of each batch, rising.
        losses: loss of each batch before its update; all finite.
        smoothed: their moving average.

    Source: Smith, "Cyclical learning rates for training neural networks", arXiv 1506.01186; valley after fastai.

    Example: a loss that falls between 1e-3 and 1e-1.

    >>> rates = np.geomspace(1e-4, 1, 9)
    >>> losses = np.array([4.0, 4.0, 4.0, 3.0, 1.5, 1.0, 0.9, 2.0, 8.0])
    >>> test = RangeTest(rates, losses, losses)
    >>> round(test.valley, 5), round(test.steepest, 5), round(test.minimum, 5)
    (0.01, 0.00316, 0.01)
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray

    @property
    def valley(self):
        """The rate in the middle of the longest fall of the smoothed loss.

        That fall is the longest strictly falling subsequence, placed where it ends: its middle is half its length
        before that. Robust against single bumps, and the most cautious of the three on noisy curves.
        """
        losses = self._enough()
        length = np.ones(len(losses), int)  # of the longest fall that ends at this point
        for end in range(1, len(losses)):
            higher = length[:end][losses[:end] > losses[end]]
            length[end] += higher.max(initial=0)
        end = int(length.argmax())
        return float(self.rates[end - int(length[end]) // 2])

    @property
    def steepest(self):
        """The rate where the smoothed loss falls fastest, by the logarithm of the rate."""
        return float(self.rates[np.gradient(self._enough(), np.log(self.rates)).argmin()])

    @property
    def minimum(self):
        """A tenth of the rate where the smoothed loss is smallest: there it is about to rise."""
        return float(self.rates[self._enough().argmin()] / 10)

    def _enough(self):
        if len(self.smoothed) < 3:
            accepted = "a test of three finite losses or more: begin lower (`low`) or take more steps"
            raise invalid("RangeTest", "losses", list(self.losses), accepted)
        return self.smoothed

    def plot(self, path=None):
        """Loss over learning rate, with the three suggestions.

        Args:
            path: file to write, .png, .svg or .pdf; `None` writes none.

        Returns:
            A `matplotlib.figure.Figure`.
        """

        def draw(axes):
            axes.plot(self.rates, self.losses, color="#b6bcc4", linewidth=0.8, label="loss of a batch")
            axes.plot(self.rates, self.smoothed, color="#2166ac", linewidth=1.8, label="smoothed")
            for name, color in (("valley", "#1a7f37"), ("steepest", "#bf5700"), ("minimum", "#8250df")):
                rate = getattr(self, name)
                axes.axvline(rate, color=color, linewidth=1.2, linestyle="--", label=f"{name}: {rate:.2g}")
            low, high = self.losses.min(), max(self.smoothed[0], np.median(self.smoothed))
            room = (high - low) or 1.0  # the rise at the end would flatten what matters
            axes.set_ylim(low - 0.15 * room, high + 0.6 * room)

        return chart(path, "loss", draw)
