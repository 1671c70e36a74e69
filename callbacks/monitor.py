"""The metric that a callback watches."""

from keras_dlopt.arguments import invalid
from keras_dlopt.callbacks.callback import in_caller


def monitored(callback, name, epoch, logs):
    """The metric `name` in an epoch's logs; `None` if it is one of validation, which takes place in other epochs.

    Raises:
        ValueError: naming the argument `monitor`, if it should be there.
    """
    logs = logs or {}
    if name in logs:
        return float(logs[name])
    frequency = in_caller("validation_freq", int | list)  # of `fit`
    if name.startswith("val_") and frequency is not None:
        validated = [e for e in range(callback.params["epochs"]) if callback.model._should_eval(e, frequency)]
        if validated and epoch not in validated:
            return None
    raise invalid(type(callback).__name__, "monitor", name, f"one of the logs' {', '.join(logs)}")
