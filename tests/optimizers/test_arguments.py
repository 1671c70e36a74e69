"""Bad input for every argument of every optimizer and wrapper: nothing but a clear `ValueError`."""

import inspect
import math

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_dlopt import optimizers
from keras_dlopt.optimizers.executor.hyperparameters import Range

# Everyone's own arguments; those that all have in common once.
ARGUMENTS = [
    (name, argument)
    for name, row in (optimizers.TABLE | optimizers.WRAPPERS).items()
    for argument, parameter in inspect.signature(row.optimizer).parameters.items()
    if parameter.kind is not parameter.KEYWORD_ONLY or name in ("Adam", "Lookahead")
]

# What is right for no argument at all.
NEVER = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 1e400, b"0.1", {}, {0.1}, object(), ValueError, 1j]),
    st.binary(),
    st.complex_numbers(),
    st.dictionaries(st.text(), st.floats(), max_size=2),
)
# What may be right for some.
MAYBE = st.one_of(
    NEVER,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.lists(st.one_of(st.floats(), st.text(), st.dictionaries(st.text(), st.floats(), max_size=2)), max_size=2),
)


def make(name, argument, value):
    """The optimizer, or the message of the `ValueError`; any other error is the test's."""
    needed = {"optimizer": keras.optimizers.SGD(0.1)} if name in optimizers.WRAPPERS else {}
    try:
        return optimizers.get(name, **needed | {argument: value}), None
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@settings(max_examples=15, deadline=None)
@given(value=NEVER)
def test_what_is_never_right_is_refused_by_name(name, argument, value):
    if argument == "learning_rate" and callable(value) and not isinstance(value, type):
        return  # a learning rate may be any function
    if argument == "input_axes" and value == {}:
        return  # nothing to read otherwise
    made, message = make(name, argument, value)
    assert made is None, (argument, value)
    assert argument in message and "Received" in message and len(message) < 2000


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@settings(max_examples=15, deadline=None)
@given(value=MAYBE)
def test_anything_at_all_is_taken_whole_or_refused(name, argument, value):
    made, message = make(name, argument, value)
    if made is None:
        assert argument in message and "Received" in message
    else:
        again = type(made).from_config(made.get_config())
        assert again.get_config() == made.get_config()


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_numbers_end_where_the_declaration_says(name, argument):
    known = (optimizers.TABLE | optimizers.WRAPPERS)[name].optimizer._own + optimizers.Adam._common
    declared = next((h for h in known if h.name == argument), None)
    if declared is None or not isinstance(declared.accepts, Range):
        return
    low, high = declared.accepts.low, declared.accepts.high
    beyond = [low - 1, high * 1.1 + 1] + [
        end for end, kind in zip((low, high), declared.accepts.ends, strict=True) if kind in "()"
    ]
    for value in beyond:
        made, message = make(name, argument, int(value) if declared.accepts.integer and math.isfinite(value) else value)
        assert made is None and argument in message, value
