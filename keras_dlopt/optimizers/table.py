"""The table of all optimizers: what lists, docs and tests are made from."""

import keras
from keras.src.optimizers import ALL_OBJECTS_DICT as KERAS_NAMES

from keras_dlopt.arguments import invalid
from keras_dlopt.optimizers import (
    curvature,
    drop_in,
    first_order,
    matrix,
    memory,
    rate_free,
    schedule_free,
    wrappers,
)

_ROWS = (
    *drop_in.ROWS,
    *first_order.ROWS,
    *memory.ROWS,
    *matrix.ROWS,
    *rate_free.ROWS,
    *schedule_free.ROWS,
    *curvature.ROWS,
)

TABLE = {row.name: row for row in _ROWS}
WRAPPERS = {row.name: row for row in wrappers.ROWS}  # apart: none of them is an optimizer without another one


def _make_known_to_keras(row):
    """Lets saved models find the optimizer, and `keras.optimizers.get` by its bare name; Keras's names stay Keras's."""
    keras.saving.register_keras_serializable("keras_dlopt")(row.optimizer)
    name = row.name.lower()
    if hasattr(keras.optimizers, row.name):
        KERAS_NAMES.setdefault(name, getattr(keras.optimizers, row.name))  # Keras forgot its Lamb
    else:
        KERAS_NAMES[name] = row.optimizer  # has the name compared in lower case ...
        keras.saving.get_custom_objects()[name] = row.optimizer  # ... and found, which Keras only does for its own


for _row in (*_ROWS, *wrappers.ROWS):
    _make_known_to_keras(_row)


def names(family=None):
    """The names of all optimizers, or of one family; those of the wrappers, which need an optimizer, only by family.

    Example:

    >>> names("wrapper")[:2]
    ['Lookahead', 'Cautious']
    """
    rows = (*_ROWS, *(wrappers.ROWS if family is not None else ()))
    families = {row.family for row in rows}
    if family is not None and family not in families:
        raise invalid("names", "family", family, f"one of {sorted(families)}")
    return [row.name for row in rows if family in (None, row.family)]


def get(identifier, **kwargs):
    """The optimizer or wrapper of that name (upper or lower case alike), made with `kwargs`.

    Example:

    >>> get("adabelief", learning_rate=0.01).name
    'ada_belief'
    """
    known = TABLE | WRAPPERS
    found = {name.lower(): row for name, row in known.items()}.get(str(identifier).lower())
    if found is None:
        raise invalid("get", "identifier", identifier, f"one of {', '.join(known)}")
    return found.optimizer(**kwargs)
