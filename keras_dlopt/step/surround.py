"""What happens around a model's `train_step`, whoever wrote it, wherever it is compiled."""

import contextlib
import functools

from keras_dlopt.step.seam import _retrace, _sync


def surround(model, wrapper):
    """Makes `model` call `wrapper(train_step, *args)` in place of `train_step(*args)`; the train function is made anew.

    For what the optimizer cannot see, because it is before the gradients: which layers train, what a layer computes.
    A wrapper that changes the model does so only while the step is traced and puts everything back, so that who looks
    at the model between two steps, or saves it, finds it as it was. One
    with `outermost = True` stays around those that come later.
    """
    _install(model, sorted([*wrappers(model), wrapper], key=lambda around: getattr(around, "outermost", False)))


def release(model, wrapper):
    """Takes `wrapper` off, if it is on; after the last one the model has the `train_step` it had before."""
    rest = [other for other in wrappers(model) if other is not wrapper]
    if len(rest) < len(wrappers(model)):
        _install(model, rest)


def wrappers(model):
    """The wrappers on `model`, the first one the nearest to its step."""
    return getattr(vars(model).get("train_step"), "wrappers", [])


def _install(model, around):
    _sync(model)
    found = vars(model).get("train_step")
    own = found.own if hasattr(found, "wrappers") else found
    if found is not None:
        del model.train_step
    if own is not None:
        model.train_step = own
    if around:
        step = model.train_step

        # A function of its own each time: JAX would take the trace of the one before for it.
        def train_step(*args):
            call = step
            for wrapper in around:
                call = functools.partial(wrapper, call)
            return call(*args)

        train_step.wrappers, train_step.own = around, own
        model.train_step = train_step
    _retrace(model)


class WhileTraced:
    """Base of wrappers for `surround` that change the model while its step is traced, and put everything back.

    Replicas are traced by threads that take turns: the first one in makes the change, the last one out undoes it.
    """

    _inside = 0

    def change(self, undo):
        """Makes the change; what undoes it goes on `undo`, a `contextlib.ExitStack`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def changed(self):
        """The model as changed."""
        self._inside += 1
        if self._inside == 1:
            self._undo = contextlib.ExitStack()
            self.change(self._undo)
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._undo.close()


def replace(undo, owner, name, value):
    """Sets an attribute of the object `owner`; `undo` puts back what was there."""
    undo.callback(_put_back, owner, name, vars(owner).get(name))
    setattr(owner, name, value)


def _put_back(owner, name, found):
    delattr(owner, name)
    if found is not None:
        setattr(owner, name, found)
