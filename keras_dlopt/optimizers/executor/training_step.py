"""Lets an optimizer take part in the training step of the model that is compiled with it.

Keras hands an optimizer gradients and nothing else. Some need more: SAM a second gradient of the same batch,
Schedule-Free other weights while the gradient is taken, Sophia a Hessian estimate, Polyak's step the loss. Such an
optimizer has a method

    wrap_train_step(self, model, train_step) -> function

which `model.compile` calls with the model's own step, a custom one included. What it returns has the same signature
and is called in its place by `fit` and `train_on_batch`, compiled like it, once a batch and replica:

- TensorFlow: `train_step(data) -> logs`, which reads and writes variables. Under `tf.distribute` it runs in a thread
  for each replica; the threads take turns, so that what one step must remember is kept in a `threading.local()`.
- JAX: `train_step(state, data) -> (logs, state)`, pure, with `state = (trainable, non_trainable, optimizer, metrics)`:
  lists of values in the order of `model.trainable_variables`, `model.non_trainable_variables`,
  `model.optimizer.variables` and `model.metrics_variables`.

`model.optimizer` is the outermost one: a `LossScaleOptimizer` or a wrapper, where there is one. Along that chain the
outermost is asked first, so that its step is the closest to the model's.
"""

import functools

import keras


def install():
    """Makes every `model.compile` ask the optimizer for its part in the training step; a second call does nothing.

    The step goes on the model itself, as the attribute `train_step`, and the next `compile` takes it off again: what
    the user had put there before is then back.
    """
    # The class that Keras compares with to see whether a model has a `compile` of its own.
    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    keras_compile = owner.compile
    if hasattr(keras_compile, "asks_the_optimizer"):
        return

    @functools.wraps(keras_compile)
    def compile(self, *args, **kwargs):
        keras_compile(self, *args, **kwargs)
        _take_off(self)
        _put_on(self)

    compile.asks_the_optimizer = True
    owner.compile = compile


def chain(optimizer):
    """The optimizer and those it wraps, outermost first; empty for `None`."""
    found = []
    while optimizer is not None:
        found.append(optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return found


def _take_off(model):
    step = vars(model).get("train_step")
    if hasattr(step, "in_place_of"):
        del model.train_step
        if step.in_place_of is not None:
            model.train_step = step.in_place_of


def _put_on(model):
    taking_part = [o for o in chain(model.optimizer) if hasattr(o, "wrap_train_step")]
    if not taking_part:
        return
    step = model.train_step
    for optimizer in taking_part:
        step = optimizer.wrap_train_step(model, step)

    # A function of its own: one that the optimizer returned may be shared, or take no attributes.
    def train_step(*args):
        return step(*args)

    train_step.in_place_of = vars(model).get("train_step")
    model.train_step = train_step
