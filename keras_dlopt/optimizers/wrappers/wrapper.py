"""What all wrappers share: an optimizer around another one, which keeps its rate, its arguments and its state."""

import inspect

import keras
from keras import ops

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers.executor import hyperparameters
from keras_dlopt.optimizers.wrappers import replicas

# They compute the weights anew from what they keep, and would take no notice, or harm, if somebody else moved them.
RECOMPUTING = ("Ftrl", "MADGRAD", "ScheduleFreeAdamW", "ScheduleFreeRAdam", "ScheduleFreeSGD")


NAME = hyperparameters.Hyperparameter("name", None, hyperparameters.Text(), optional=True)


class OfInner:
    """An attribute that is the inner optimizer's, to read and to set."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, wrapper, owner=None):
        return self if wrapper is None else getattr(wrapper.inner_optimizer, self.name)

    def __set__(self, wrapper, value):
        # What Keras's constructor sets, before there is an inner optimizer, are defaults that nobody chose.
        if "inner_optimizer" in vars(wrapper):
            setattr(wrapper.inner_optimizer, self.name, value)


class Wrapper(keras.optimizers.Optimizer):
    """Base of optimizers that change what another optimizer does, one of ours or any of Keras's.

    The innermost optimizer runs Keras's whole step: loss scaling, gradient accumulation, clipping, moving averages of
    the weights, constraints. In place of its update it calls the wrappers, the outermost first, each of which calls
    the next one in `around`. So they see the gradient that the update would have seen, summed over the replicas, once
    an update of the weights and not once a batch; weight decay comes after them, as part of the update.

    Learning rate, number of steps and Keras's arguments are the inner optimizer's, and can be read and set here too.
    Wrappers can be nested freely, and are themselves put into a `LossScaleOptimizer`, never around one.

    Args:
        optimizer: the optimizer to wrap, which then belongs to this wrapper.
        name: name of this wrapper.

    Attributes:
        moves_weights: whether the wrapper changes the weights or the update itself, and not only gradients. Such
            wrappers refuse optimizers whose weights follow from their state alone.
    """

    moves_weights = False

    weight_decay = OfInner()
    clipnorm = OfInner()
    clipvalue = OfInner()
    global_clipnorm = OfInner()
    use_ema = OfInner()
    ema_momentum = OfInner()
    ema_overwrite_frequency = OfInner()
    loss_scale_factor = OfInner()
    gradient_accumulation_steps = OfInner()
    _iterations = OfInner()
    _learning_rate = OfInner()
    _trainable_variables = OfInner()
    _trainable_variables_indices = OfInner()
    _accumulated_gradients = OfInner()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = {h.name: h for h in (*getattr(cls, "_own", ()), *hyperparameters.declared(cls))}
        cls._own = tuple(own.values())
        of_keras = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)
        first = inspect.Parameter("optimizer", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        arguments = hyperparameters.signature(cls._own, ()).parameters.values()
        cls.__signature__ = inspect.Signature([first, *arguments, of_keras])

    def __init__(self, *args, **kwargs):
        where, signature = type(self).__name__, type(self).__signature__
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"`{where}(...)`: {error}. Its arguments are {signature}.") from None
        given.apply_defaults()
        values = {h.name: h.check(where, given.arguments[h.name]) for h in self._own}
        optimizer = _checked(where, given.arguments["optimizer"])
        super().__init__(learning_rate=0.0, name=NAME.check(where, given.arguments["name"]))
        for variable in list(self._variables):  # a rate and a counter of its own, which nobody would read
            self._untrack_variable(variable)
        self.inner_optimizer = optimizer
        for name, value in values.items():
            setattr(self, name, value)
        self._chain = optimizer._chain if isinstance(optimizer, Wrapper) else Chain(optimizer)
        innermost = type(self._chain.optimizer).__name__
        if self.moves_weights and innermost in RECOMPUTING:
            accepted = f"an optimizer that moves the weights from where they are; {innermost} computes them anew"
            raise invalid(where, "optimizer", optimizer, accepted)
        self._chain.wrappers.append(self)

    # What a subclass overrides

    def make_state(self, variables):
        """Adds the variables that the wrapper keeps, when the optimizer is built."""
        return  # AutoGraph warns of functions without a statement

    def transform(self, gradients, variables):
        """The gradients to go on with, in place of `gradients`."""
        return gradients

    def around(self, update, gradients, variables, learning_rate):
        """One update of the weights: does what is to be done before and after `update`, and calls it once.

        Args:
            update: the next wrapper's part, or the innermost optimizer's own update.
            gradients: one dense tensor a variable, equal on all replicas.
            variables: those variables that have a gradient in this step.
            learning_rate: the current one.
        """
        update(self.transform(gradients, variables), variables, learning_rate)

    # The inner optimizer's business

    @property
    def innermost(self):
        """The optimizer at the core, which is no wrapper."""
        return self._chain.optimizer

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def variables(self):
        """This wrapper's variables, then the inner optimizer's."""
        return self._variables + self.inner_optimizer.variables

    def build(self, variables):
        """Builds the inner optimizer, if it is not built, and makes this wrapper's state."""
        if self.built:
            return
        self.inner_optimizer.build(variables)
        self.make_state(variables)
        self.built = True

    def apply(self, grads, trainable_variables=None):
        """As in Keras."""
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name, caller=self):
                    self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables)

    def scale_loss(self, loss):
        """As in Keras."""
        return self.inner_optimizer.scale_loss(loss)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """As in Keras."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list):
        """As in Keras."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        """The constructor's arguments, the inner optimizer among them."""
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"optimizer": inner, **{h.name: getattr(self, h.name) for h in self._own}, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The wrapper of that configuration, around a new inner optimizer."""
        inner = keras.saving.deserialize_keras_object(config.get("optimizer"), custom_objects=custom_objects)
        return cls(**{**config, "optimizer": inner})

    def save_own_variables(self, store):
        """Saves this wrapper's state; Keras goes on to the inner optimizer by itself."""
        for i, variable in enumerate(self._variables):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """Loads what `save_own_variables` saved."""
        if len(store.keys()) != len(self._variables):
            raise ValueError(
                f"The saved state is not that of this `{type(self).__name__}`: it has {len(store.keys())} arrays, "
                f"{len(self._variables)} are expected."
            )
        for i, variable in enumerate(self._variables):
            variable.assign(store[str(i)])

    def add_copies(self, variables, name):
        """One variable of the wrapper's for each of the model's, float32 where that is of low precision."""
        low = ("float16", "bfloat16")
        return [
            self.add_variable(
                variable.shape,
                dtype="float32" if keras.backend.standardize_dtype(variable.dtype) in low else variable.dtype,
                layout=getattr(variable, "_layout", None),
                name=f"{variable.path.replace('/', '_')}_{name}",
            )
            for variable in variables
        ]

    def pick(self, per_variable, variables):
        """Of a list with one entry for each variable of the model, the entries of these `variables`."""
        return [per_variable[self._get_variable_index(v)] for v in variables]


class Chain:
    """The wrappers around one optimizer, in place of its update."""

    def __init__(self, optimizer):
        self.optimizer, self.wrappers = optimizer, []
        self.decay, self.update = optimizer._apply_weight_decay, optimizer._backend_update_step
        optimizer._apply_weight_decay = lambda variables: None  # `run` does it: wrappers come before it
        optimizer._backend_update_step = self.run

    def run(self, gradients, variables, learning_rate):
        """What the innermost optimizer calls to update the weights."""
        run = self._run
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            run = tf.autograph.experimental.do_not_convert(run)
        run(gradients, variables, learning_rate)

    def _run(self, gradients, variables, learning_rate):
        step = self._update
        for wrapper in self.wrappers:
            step = _calling(wrapper, step)
        gradients = replicas.total(gradients)
        state, holds = [variable for wrapper in self.wrappers for variable in wrapper._variables], []
        # With gradient accumulation Keras's JAX optimizer makes an update for every batch and takes back all but
        # every k-th, in its own variables; ours are not among them.
        accumulates = keras.backend.backend() == "jax" and self.optimizer.gradient_accumulation_steps
        if accumulates:
            holds.append(ops.equal((self.optimizer._iterations + 1) % accumulates, 0))
        if getattr(self.optimizer, "skip_nonfinite", False):
            state = [*state, *variables]
            holds.append(ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients])))
        before = [replicas.read(v) for v in state] if holds else []
        step(gradients, variables, learning_rate)
        if holds:
            held = ops.all(ops.stack(holds))
            after = [replicas.read(v) for v in state]
            replicas.write(state, [ops.where(held, new, old) for new, old in zip(after, before, strict=True)])

    def _update(self, gradients, variables, learning_rate):
        self.decay(variables)
        # The optimizer sums over the replicas itself.
        self.update(replicas.parts(gradients), variables, learning_rate)


def _calling(wrapper, update):
    return lambda *args: wrapper.around(update, *args)


def _checked(where, optimizer):
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise invalid(where, "optimizer", optimizer, f"inside of it: `LossScaleOptimizer({where}(...))`")
    if isinstance(optimizer, keras.optimizers.MultiOptimizer) or not isinstance(optimizer, keras.optimizers.Optimizer):
        raise invalid(where, "optimizer", optimizer, "one Keras optimizer")
    wrapped = "_backend_update_step" in vars(optimizer)
    if isinstance(optimizer, Wrapper):
        wrapped = optimizer._chain.wrappers[-1] is not optimizer
    if wrapped:
        raise invalid(where, "optimizer", optimizer, "an optimizer that no other wrapper has")
    return optimizer
