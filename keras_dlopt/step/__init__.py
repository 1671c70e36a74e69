"""The seam: whatever must see gradients and updates inside the compiled step attaches to `optimizer.apply`.

An `Observer` attached to an optimizer runs inside the training step, before and after the update, wherever
that step
is compiled: a custom `train_step`, `jit_compile`, `steps_per_execution`, loss scaling, `tf.distribute` and
    JAX's
stateless step included. Any Keras optimizer can be observed, by any number of observers; saved files stay as
they would be without them.

`Follow` is the observer that makes a hyperparameter follow a schedule, `Average` keeps the mean of the weights,
`ScaledMoves` gives some weights a learning rate of their own. `BatchChanges` is another thing done to a step: it trains
on another batch than the one it draws.

Example: the norm of the last gradient, computed inside the step.

>>> import keras, numpy as np
>>> from keras_dlopt import step
>>> class GradientNorm(step.Observer):
...     def build(self, optimizer, variables):
...         self.norm = self.add_variable((), name="norm")
...     def before_apply(self, gradients, variables):
...         total = sum(keras.ops.sum(keras.ops.square(g)) for g in self.all_reduce(gradients))
...         self.assign(self.norm, keras.ops.sqrt(total))
...         return gradients
>>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
>>> model.compile(keras.optimizers.SGD(0.1), "mse")
>>> observer = GradientNorm()
>>> step.attach(model.optimizer, observer, model)
>>> _ = model.fit(np.ones((1, 2)), np.ones((1, 1)), verbose=0)
>>> round(float(keras.ops.convert_to_numpy(observer.norm)), 4)  # each of three gradients is 2 * (0 - 1)
3.4641
>>> step.detach(model.optimizer, observer)
"""

from keras_dlopt.step.average import Average
from keras_dlopt.step.batch_norm import reestimate_batch_norm
from keras_dlopt.step.batches import BatchChanges
from keras_dlopt.step.follow import Follow
from keras_dlopt.step.observer import Observer
from keras_dlopt.step.scaled_moves import ScaledMoves
from keras_dlopt.step.seam import attach, detach, observers

__all__ = [
    "Average",
    "BatchChanges",
    "Follow",
    "Observer",
    "ScaledMoves",
    "attach",
    "detach",
    "observers",
    "reestimate_batch_norm",
]
