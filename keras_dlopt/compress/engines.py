"""The calls that real tfmot can do as well, with `engine="tfmot"`."""

import functools
import inspect

from keras_dlopt.arguments import check_choice

ENGINES = ("native", "tfmot")


def or_tfmot(native):
    """Gives a function of a model the argument `engine`: "tfmot" is the function of that name in `compress.tfmot`.

    Example:

    >>> from keras_dlopt.compress import prune
    >>> inspect.signature(prune).parameters["engine"].default
    'native'
    """

    @functools.wraps(native)
    def call(*args, engine="native", **kwargs):
        check_choice(native.__name__, "engine", engine, ENGINES)
        if engine == "native":
            return native(*args, **kwargs)
        from keras_dlopt.compress import tfmot  # brings tf_keras, which takes its time

        return getattr(tfmot, native.__name__)(*args, **kwargs)

    signature = inspect.signature(native)
    engine = inspect.Parameter("engine", inspect.Parameter.KEYWORD_ONLY, default="native")
    call.__signature__ = signature.replace(parameters=[*signature.parameters.values(), engine])
    return call
