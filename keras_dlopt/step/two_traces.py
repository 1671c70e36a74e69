"""Two compiled training steps of one model, one of them with an observer's work, and the host's choice between them.

A conditional inside the one step would cost each step, taken or not: 20 % where the weights must be kept for a
comparison. Here steps without the work are the steps of a model that nobody observes.
"""


class TwoTraces:
    """Stands in for `model.train_function`: calls that of the plain step, or that of the step with the work.

    The second one is compiled when it is first chosen. While it is traced, `observer.carry.chosen` is true.

    Args:
        model: a compiled model.
        observer: an `Observer`, attached.
        on_failure: called without arguments when a step breaks off, by an error or by Ctrl-C.

    Attributes:
        chosen: whether the next call is to do the work.
    """

    def __init__(self, model, observer, on_failure):
        self.model, self.observer, self.on_failure = model, observer, on_failure
        self.chosen = False

    def install(self):
        """Takes the place of the model's train function, also when somebody else made that anew."""
        model = self.model
        if model.train_function is self:
            return
        self._plain = model.train_function
        step, own = model.train_step, vars(model).get("train_step")

        # A function of its own: JAX would take the trace of the plain step for it.
        def train_step(*args):
            self.observer.carry.chosen = True
            try:
                return step(*args)
            finally:
                self.observer.carry.chosen = False

        model.train_step = train_step
        try:
            model.make_train_function(force=True)
        finally:
            del model.train_step
            if own is not None:
                model.train_step = own
        self._chosen = model.train_function
        model.train_function = self

    def __call__(self, *args):
        try:
            return (self._chosen if self.chosen else self._plain)(*args)
        except StopIteration:  # the end of the data
            raise
        except BaseException:
            self.on_failure()
            raise
