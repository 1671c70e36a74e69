"""The precision that fits the hardware."""

import keras

from keras_dlopt.arguments import invalid

# The last policy that was set here, to tell it from the user's own.
_set_here = None


def fitting_policy(device, capabilities=()):
    """The dtype policy that fits, and why.

    Args:
        device: "cpu", "gpu" or "tpu".
        capabilities: CUDA compute capability of each GPU, (major, minor).

    Example:

    >>> fitting_policy("gpu", [(7, 0)])[0], fitting_policy("gpu", [(9, 0), (8, 0)])[0], fitting_policy("tpu")[0]
    ('mixed_float16', 'mixed_bfloat16', 'mixed_bfloat16')
    """
    if device == "tpu":
        return "mixed_bfloat16", "a TPU multiplies in bfloat16, whose range needs no loss scale"
    if device == "cpu":
        return "float32", "half precision is no faster on most CPUs"
    if not capabilities:
        return "float32", "the GPU does not say what it can"
    slowest = min(capabilities)
    shown = ".".join(map(str, slowest))
    if slowest >= (8, 0):
        return "mixed_bfloat16", f"compute capability {shown} multiplies in bfloat16, whose range needs no loss scale"
    if slowest >= (7, 0):
        return "mixed_float16", f"compute capability {shown} has float16 units; Keras scales the loss"
    return "float32", f"compute capability {shown} is no faster in half precision"


def set_policy(plan, wanted, capabilities=()):
    """Sets Keras's dtype policy and notes it in `plan`.

    Args:
        plan: the plan.
        wanted: "auto" for the one that fits the hardware, unless the user has set one; `None` to leave the policy
            alone; or the name of a policy.
        capabilities: see `fitting_policy`.

    Raises:
        ValueError: for an unknown policy, or float16 on a TPU.
    """
    global _set_here
    current = keras.config.dtype_policy().name
    fitting, why = fitting_policy(plan.device, capabilities)
    if wanted == "auto" and current in ("float32", _set_here):
        chosen = fitting
    elif wanted in ("auto", None):
        chosen, why = current, "set before"
    else:
        try:
            chosen, why = keras.dtype_policies.get(wanted).name, "as asked"
        except (ValueError, TypeError, AttributeError):
            accepted = "'auto', None or a Keras dtype policy such as 'mixed_bfloat16'"
            raise invalid("strategy", "mixed_precision", wanted, accepted) from None
    if plan.device == "tpu" and chosen.endswith("float16") and not chosen.endswith("bfloat16"):
        if why == "as asked":
            raise invalid(
                "strategy", "mixed_precision", wanted, "'mixed_bfloat16' on a TPU, which has no float16 units"
            )
        chosen, why = "mixed_bfloat16", f"{current} was set before, and a TPU has no float16 units"
    if chosen != current:
        keras.config.set_dtype_policy(chosen)
        _set_here = chosen
    change = "" if chosen == "float32" else "strategy(mixed_precision='float32'), or dtype='float32' on one layer"
    plan.note("precision", chosen, why, change)
