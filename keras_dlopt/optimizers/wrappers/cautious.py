"""Cautious updates."""

from keras import ops

from keras_dlopt.optimizers.executor.optimizer import Optimizer
from keras_dlopt.optimizers.wrappers import replicas
from keras_dlopt.optimizers.wrappers.wrapper import Wrapper


class Cautious(Wrapper):
    r"""Leaves out of every update the elements that go against the current gradient, and enlarges the others.

    $$m = [\, u \cdot g > 0 \,], \qquad \hat u = \frac{m}{\max(\bar m, 10^{-3})}\, u$$

    with the mean $\bar m$ over each variable. $u$ is the optimizer's update without weight decay, which goes on as it
    is; $g$ is the gradient that comes to this wrapper.

    Args:
        optimizer: the optimizer whose updates are masked, ours or Keras's; one with momentum, for without it nothing
            ever goes against the gradient.
        name: name of this wrapper.

    Memory: none.

    Source: Liang, Chen, Liu and Liu, arXiv 2411.16085; scaled as in the authors' code.

    Example:

    >>> import keras
    >>> w, optimizer = keras.Variable([0.0, 0.0]), Cautious(keras.optimizers.SGD(1.0, momentum=0.5))
    >>> for gradient in ([4.0, 4.0], [1.0, -1.0]):             # the second gradient turns one element
    ...     optimizer.apply([keras.ops.convert_to_tensor(gradient)], [w])
    >>> keras.ops.convert_to_numpy(w)
    array([-10.,  -4.], dtype=float32)
    """

    moves_weights = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        object.__setattr__(self, "_gradients", {})  # tensors of the current step, which Keras is not to track
        if isinstance(self.innermost, Optimizer):
            inner_filter = vars(self.innermost).get("filter_direction", lambda bucket, u: u)
            self.innermost.filter_direction = lambda bucket, u: self._masked_bucket(bucket, inner_filter(bucket, u))
        else:
            self._mask_assignments(self.innermost)

    def around(self, update, gradients, variables, learning_rate):
        # The innermost optimizer asks for them from within `update`. On several replicas it does so once for all, and
        # the gradients are equal.
        indices = [self._get_variable_index(v) for v in variables]
        object.__setattr__(self, "_gradients", dict(zip(indices, gradients, strict=True)))
        update(gradients, variables, learning_rate)
        object.__setattr__(self, "_gradients", {})

    def _masked_bucket(self, bucket, u):
        pairs = zip(bucket.indices, bucket.unpack(u), strict=True)
        return bucket.pack([_masked(part, self._gradients.get(i)) for i, part in pairs])

    def _mask_assignments(self, optimizer):
        """Masks what Keras's rules assign to the weights; weight decay they assign by other ways."""
        assign, assign_add, assign_sub = optimizer.assign, optimizer.assign_add, optimizer.assign_sub

        def gradient_of(variable):
            index = optimizer._trainable_variables_indices.get(optimizer._var_key(variable))
            return self._gradients.get(index)

        def masked_add(variable, value):
            g = gradient_of(variable)
            assign_add(variable, value if g is None else -_masked(-ops.convert_to_tensor(value), g))

        def masked_sub(variable, value):
            assign_sub(variable, _masked(value, gradient_of(variable)))

        def masked_assign(variable, value):
            g = gradient_of(variable)
            if g is None:
                assign(variable, value)
            else:
                assign_sub(variable, _masked(replicas.read(variable) - ops.cast(value, variable.dtype), g))

        optimizer.assign, optimizer.assign_add, optimizer.assign_sub = masked_assign, masked_add, masked_sub


def _masked(update, gradient):
    """`update`, which is to be subtracted, where it goes along with `gradient`; all of it if there is none."""
    if gradient is None:
        return update
    g = ops.cast(ops.reshape(gradient, update.shape), update.dtype)
    mask = ops.cast(update * g > 0, update.dtype)
    return update * mask / ops.maximum(ops.mean(mask), 1e-3)
