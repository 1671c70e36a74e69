"""SAM and ASAM: sharpness-aware minimization."""

from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.executor.hyperparameters import Positive
from keras_dlopt.optimizers.executor.training_step import chain
from keras_dlopt.optimizers.wrappers.two_passes import two_passes
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class SAM(Wrapper):
    r"""Takes the gradient where the loss is highest nearby, so that training ends in a flat minimum.

    $$\hat w = w + \rho\, \frac{g(w)}{\lVert g(w) \rVert_2}, \qquad w \leftarrow \mathrm{step}\big(w,\; g(\hat w)\big)$$

    The norm is over all weights, and over all replicas: a distributed step is the step of one device. Each training
    step costs two gradients of the same batch, with the same dropout masks. BatchNormalization's statistics and the
    metrics see the first one only, so that the loss in the logs is that of $w$. With gradient accumulation every batch
    has its own $\hat w$. A first gradient that is not finite, as float16 produces while the loss scale adapts, is not
    followed: that step is an ordinary one.

    It works through `fit` and `train_on_batch` of a model compiled with it, a custom `train_step` included, which must
    be repeatable: it may change only the model's variables. In a loop of your own, where nobody takes the second
    gradient, `apply` is an error.

    Args:
        optimizer: the optimizer that makes the step, ours or Keras's.
        rho: size of the neighbourhood, > 0.
        name: name of this wrapper.

    Memory: none between steps; a copy of the weights, 4 bytes a parameter, within.

    Source: Foret, Kleiner, Mobahi and Neyshabur, arXiv 2010.01412.

    Example: with $w = 0$ and the loss $(w - 1)^2$ the gradient is taken at $w = -1$, where it is $-4$.

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    >>> model.compile(SAM(keras.optimizers.SGD(0.25), rho=1.0), "mse")
    >>> _ = model.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0)
    >>> model.get_weights()[0]
    array([[1.]], dtype=float32)
    """

    rho: Positive = 0.05

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if any(isinstance(o, SAM) for o in chain(self.inner_optimizer)):
            raise invalid(type(self).__name__, "optimizer", self.inner_optimizer, "without SAM in it already")
        self._takes_part = False

    def wrap_train_step(self, model, train_step):
        """The training step with the second gradient; see `executor.training_step`."""
        self._takes_part = True
        return two_passes(model, train_step, self._perturbed)

    def apply(self, grads, trainable_variables=None):
        """As in Keras, for the second gradient.

        Raises:
            ValueError: if no model was compiled with this optimizer, which would then never see that gradient.
        """
        if not self._takes_part:
            raise ValueError(
                f"`{type(self).__name__}` needs two gradients a step, which `model.fit` takes when the model is "
                "compiled with it; in a loop of your own there is nobody to take the second one."
            )
        super().apply(grads, trainable_variables)

    def _perturbed(self, gradients, weights):
        w = [ops.cast(x, "float32") for x in weights]
        # A loss scale in the gradients cancels.
        scaled = [self._metric(x) * ops.cast(g, "float32") for x, g in zip(w, gradients, strict=True)]
        norm = ops.sqrt(sum(ops.sum(ops.square(s)) for s in scaled))
        follow = ops.logical_and(ops.isfinite(norm), norm > 0)
        factor = self.rho / ops.where(follow, norm, 1.0)
        moved = [x + self._metric(x) * s * factor for x, s in zip(w, scaled, strict=True)]
        return [ops.where(follow, ops.cast(m, x.dtype), x) for m, x in zip(moved, weights, strict=True)]

    def _metric(self, weight):
        """The length of a step of 1 in each weight, in the geometry of the neighbourhood."""
        return 1.0


class ASAM(SAM):
    r"""SAM in a neighbourhood that scales with the weights, so that rescaling a layer changes nothing.

    $$\hat w = w + \rho\, \frac{w^2\, g(w)}{\lVert \lvert w \rvert\, g(w) \rVert_2},
    \qquad w \leftarrow \mathrm{step}\big(w,\; g(\hat w)\big)$$

    A weight of 0 is not perturbed; the authors' code adds 0.01 to $\lvert w \rvert$ of kernels and leaves biases
    unscaled, the common implementations for torch do as here.

    Args:
        optimizer: the optimizer that makes the step, ours or Keras's.
        rho: size of the neighbourhood, > 0; about ten times SAM's.
        name: name of this wrapper.

    Memory: none between steps; a copy of the weights, 4 bytes a parameter, within.

    Source: Kwon, Kim, Park and Choi, arXiv 2102.11600.

    Example: all else as in `SAM`.

    >>> import keras
    >>> ASAM(keras.optimizers.SGD(0.1), rho=0.5).rho
    0.5
    """

    rho: Positive = 0.5

    def _metric(self, weight):
        return ops.abs(weight)
