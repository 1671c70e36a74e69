"""Attaching observers to `optimizer.apply`, and detaching them without a trace."""

import contextlib
import threading

import keras

from keras_dlopt.arguments import invalid

# On JAX the step is stateless: what it writes must be in `optimizer.variables`, where these would save and
# load it.
_STATE_METHODS = ("save_own_variables", "load_own_variables", "set_weights")


def attach(optimizer, observer, model=None):
    """Makes `observer` see every call of `optimizer.apply`, after those attached before it.

    Args:
        optimizer: any Keras optimizer. Under a `LossScaleOptimizer` the inner one is observed: its gradients
            are unscaled and finite.
        observer: an `Observer` that is attached nowhere else.
        model: the model this optimizer trains. Needed when its train function may exist already (inside
            callbacks, after a first `fit`): it is made anew, so that the next step has the observer in it;
            and when the optimizer is not built yet, on backends other than TensorFlow.

    Raises:
        ValueError: if `optimizer` or `observer` is something else, or the observer is attached already.
    """
    chain = _unwrap(optimizer if model is None or model.optimizer is None else model.optimizer)
    inner = _unwrap(optimizer)[-1]
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise invalid("attach", "optimizer", optimizer, "a Keras optimizer")
    if chain[-1] is not inner:
        raise invalid("attach", "optimizer", optimizer, "the optimizer that `model` was compiled with")
    if not hasattr(observer, "before_apply"):
        raise invalid("attach", "observer", observer, "a `keras_dlopt.step.Observer`")
    if observer.optimizer is not None:
        raise invalid("attach", "observer", observer, "an observer that is not attached; detach it first")
    _sync(model)
    if not inner.built and model is not None and model.trainable_variables and _has_all_variables(model):
        with _scope(inner):
            chain[0].build(model.trainable_variables)
    seam = vars(inner).get("_seam") or _Seam(inner)
    seam.add(observer, chain, model)
    _retrace(model)


def detach(optimizer, observer):
    """Takes `observer` off; when the last one leaves, the optimizer is as it was before the first came.

    The observer keeps its variables, so that what it recorded can still be read. The train function of the
    model that was given to `attach` is made anew.

    Raises:
        ValueError: if the observer is not attached to this optimizer.
    """
    inner = _unwrap(optimizer)[-1]
    if getattr(observer, "optimizer", None) is not inner:
        raise invalid("detach", "observer", observer, "an observer attached to this optimizer")
    inner._seam.remove(observer)


def _has_all_variables(model):
    # A model of one's own may get some of its layers' weights in the first step only.
    return all(layer.built for layer in model._flatten_layers())


def observers(optimizer):
    """The observers attached to `optimizer`, in the order in which they are called."""
    seam = vars(_unwrap(optimizer)[-1]).get("_seam")
    return list(seam.observers) if seam else []


class _Seam:
    """The one dispatcher that stands in for `apply` on an observed optimizer."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.observers = []
        self.models = {}
        self.unbuilt = []
        self.replaced = []
        self.inner_apply = optimizer.apply
        optimizer._seam = self
        self._replace(optimizer, "apply", self.apply)

    def add(self, observer, chain, model):
        if _stateless():
            for owner in chain:
                self._guard(owner)
        observer.optimizer = self.optimizer
        observer.variables = []
        observer.carry = threading.local()
        self.observers.append(observer)
        self.models[id(observer)] = model
        self.unbuilt.append(observer)
        if self.optimizer.built:
            try:
                self._build(self.optimizer._trainable_variables)
            except BaseException:
                self.remove(observer)
                raise

    def remove(self, observer):
        model = self.models.pop(id(observer))
        _sync(model)
        self.observers = [o for o in self.observers if o is not observer]
        self.unbuilt = [o for o in self.unbuilt if o is not observer]
        for variable in observer.variables:
            self.optimizer._untrack_variable(variable)
        observer.optimizer = None
        if not self.observers:
            self._leave()
        _retrace(model)

    def _leave(self):
        del self.optimizer._seam
        for owner, name, found in reversed(self.replaced):
            delattr(owner, name)
            if found is not None:
                setattr(owner, name, found)

    def _replace(self, owner, name, method):
        # What somebody else put on the instance before is not the class's: they get it back.
        self.replaced.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, method)

    def _build(self, variables):
        while self.unbuilt:
            observer = self.unbuilt[0]
            with _scope(self.optimizer):
                observer.build(self.optimizer, variables)
            self.unbuilt.pop(0)
            if _stateless():
                for variable in observer.variables:
                    self.optimizer._track_variable(variable)

    def apply(self, grads, trainable_variables=None):
        """What the trainer calls instead of `optimizer.apply`."""
        optimizer = self.optimizer
        variables = optimizer._trainable_variables if trainable_variables is None else trainable_variables
        given, variables = list(grads), list(variables)
        if not given or len(given) != len(variables):
            return self.inner_apply(given, trainable_variables)  # nothing to do, or Keras's own error
        if self.unbuilt:
            if not optimizer.built:
                optimizer.build(variables)
            self._build(variables)

        # A LossScaleOptimizer has unscaled already; a constant factor is taken out only for the observers'
        # eyes, so that a gradient which nobody changes reaches the update with the bits it came with.
        scale = optimizer.loss_scale_factor
        shown = [g if g is None or not scale else keras.ops.divide(g, scale) for g in given]
        gradients = shown
        for observer in self.observers:
            gradients = _checked(observer, observer.before_apply(gradients, variables), variables)
        used = [
            g if now is before else (now if now is None or not scale else keras.ops.multiply(now, scale))
            for g, before, now in zip(given, shown, gradients, strict=True)
        ]
        skips = [skip for observer in self.observers if (skip := observer.skips()) is not None]
        if skips:
            _unless(skips, lambda: self.inner_apply(used, trainable_variables))
        else:
            self.inner_apply(used, trainable_variables)
        for observer in self.observers:
            observer.after_apply(gradients, variables)

    def _guard(self, owner):
        """Lets `owner` save and load its state as if nobody observed."""
        if not any(guarded is owner and name in _STATE_METHODS for guarded, name, _ in self.replaced):
            for name in _STATE_METHODS:
                self._replace(owner, name, self._hiding(getattr(owner, name)))

    def _hiding(self, method):
        def call(*args, **kwargs):
            with self._hidden():
                return method(*args, **kwargs)

        return call

    @contextlib.contextmanager
    def _hidden(self):
        # In place: Keras's tracker holds this very list.
        tracked = self.optimizer._variables
        everything = tracked[:]
        hidden = {id(v) for observer in self.observers for v in observer.variables}
        tracked[:] = [v for v in everything if id(v) not in hidden]
        try:
            yield
        finally:
            tracked[:] = everything


def _unless(conditions, update):
    """Calls `update`, which only writes variables, in a conditional of TensorFlow's: not if a condition is true."""
    import tensorflow as tf

    def updated():
        update()
        return tf.no_op()

    tf.cond(tf.reduce_any(conditions), tf.no_op, updated)


def _checked(observer, gradients, variables):
    if not isinstance(gradients, list | tuple) or len(gradients) != len(variables):
        raise invalid(
            type(observer).__name__,
            "before_apply",
            gradients,
            f"a method that returns the list of gradients, one for each of the {len(variables)} variables",
        )
    return list(gradients)


def _unwrap(optimizer):
    """The optimizer and what it wraps, outermost first."""
    chain = [optimizer]
    while isinstance(chain[-1], keras.optimizers.LossScaleOptimizer):
        chain.append(chain[-1].inner_optimizer)
    return chain


def _scope(optimizer):
    """Where variables of this optimizer are made: its strategy's scope, and outside of any trace."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    stack = contextlib.ExitStack()
    stack.enter_context(tf.init_scope())
    if tf.distribute.get_strategy() is not optimizer._distribution_strategy:
        stack.enter_context(optimizer._distribution_strategy.scope())
    return stack


def _stateless():
    return keras.backend.backend() == "jax"


def _sync(model):
    # The JAX trainer holds the state during an epoch: it gives it back before the list of variables changes.
    if model is not None and _stateless():
        model.jax_state_sync()


def _retrace(model):
    if model is not None and model.train_function is not None:
        model.make_train_function(force=True)
