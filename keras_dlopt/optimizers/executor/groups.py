"""Parameter groups: other settings for the variables whose path matches a pattern."""

import dataclasses
import re
from collections.abc import Callable

import keras

from keras_dlopt.arguments import check_choice, check_number, invalid
from keras_dlopt.optimizers.executor.codecs import STATE_DTYPES


@dataclasses.dataclass(frozen=True)
class Group:
    """What holds for the variables that `match` picks.

    Args:
        match: a regular expression searched for in `variable.path`, or a function `variable -> bool`.
        learning_rate: multiplies the optimizer's learning rate, >= 0.
        weight_decay: replaces the optimizer's weight decay, >= 0; `None` keeps it.
        frozen: `True` keeps these variables as they are and gives them no state.
        optimizer: another optimizer of ours whose rule serves these variables; its learning rate stands in
            `learning_rate`, as a multiple of the main one.
        state_dtype: replaces the optimizer's, for all of these variables, small ones and embeddings too.
    """

    match: str | Callable
    learning_rate: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False
    optimizer: object = None
    state_dtype: str | None = None

    def picks(self, variable):
        if callable(self.match):
            return bool(self.match(variable))
        return re.search(self.match, variable.path) is not None


EVERYTHING_ELSE = Group(match="")


def parse_groups(where, groups):
    """Checks the `groups` argument of optimizer `where` and returns a tuple of `Group`."""
    if not isinstance(groups, list | tuple):
        raise invalid(where, "groups", groups, "a list of dictionaries")
    return tuple(_parse(where, group) for group in groups)


def _parse(where, group):
    known = {field.name for field in dataclasses.fields(Group)}
    if not isinstance(group, dict) or "match" not in group or not set(group) <= known:
        raise invalid(where, "groups", group, f'a dictionary with "match" and any of {sorted(known - {"match"})}')
    match = group["match"]
    if isinstance(match, dict):  # a function that came through `get_config`
        match = keras.saving.deserialize_keras_object(match)
    if isinstance(match, str):
        try:
            re.compile(match)
        except re.error as error:
            raise invalid(where, "groups", group, f"patterns that compile ({error})") from None
    elif not callable(match):
        raise invalid(where, "groups", group, "dictionaries whose `match` is a pattern or a function")
    if "learning_rate" in group:
        check_number(where, "groups[learning_rate]", group["learning_rate"], low=0)
    if group.get("optimizer") is not None:
        group = group | _parse_optimizer(where, group)
    if group.get("state_dtype") is not None:
        check_choice(where, "groups[state_dtype]", group["state_dtype"], STATE_DTYPES)
    if group.get("weight_decay") is not None:
        check_number(where, "groups[weight_decay]", group["weight_decay"], low=0)
    if not isinstance(group.get("frozen", False), bool):
        raise invalid(where, "groups[frozen]", group["frozen"], "True or False")
    return Group(**{**group, "match": match})


def _parse_optimizer(where, group):
    """The optimizer of a group; one given as an object brings its own rate, which `relative_rates` puts in relation."""
    from keras_dlopt.optimizers import table
    from keras_dlopt.optimizers.executor.optimizer import Optimizer

    optimizer = group["optimizer"]
    if isinstance(optimizer, str):
        return {"optimizer": table.get(optimizer)}
    if isinstance(optimizer, dict):
        optimizer = keras.saving.deserialize_keras_object(optimizer)
    if not isinstance(optimizer, Optimizer):
        raise invalid(where, "groups[optimizer]", optimizer, "an optimizer of keras_dlopt, or its name")
    config, default = optimizer.get_config(), type(optimizer)().get_config()
    for name in _OF_THE_WHOLE:
        if config[name] != default[name]:
            raise invalid(where, f"groups[optimizer].{name}", config[name], "left alone: the outer optimizer has it")
    return {"optimizer": optimizer, "learning_rate": group.get("learning_rate")}


# What one optimizer does for all of its variables, whatever their groups.
_OF_THE_WHOLE = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "loss_scale_factor",
    "gradient_accumulation_steps",
    "groups",
    "skip_nonfinite",
    "shard_state",
    "state_dtype",
)


def relative_rates(where, groups, learning_rate):
    """`groups` with the rate of every optimizer in them as a multiple of the main `learning_rate`."""
    return tuple(
        dataclasses.replace(group, learning_rate=_relative_rate(where, group, learning_rate))
        if group.learning_rate is None
        else group
        for group in groups
    )


def _relative_rate(where, group, main):
    own = group.optimizer.get_config()["learning_rate"]
    if not (isinstance(main, float) and main > 0 and isinstance(own, int | float)):
        accepted = 'given as a multiple of the main learning rate, in "learning_rate": one of the two is no number > 0'
        raise invalid(where, "groups[optimizer]", own, accepted)
    return own / main


def group_config(group):
    """The dictionary that gives `group` again."""
    config = {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    if group.optimizer is not None:
        config["optimizer"] = keras.saving.serialize_keras_object(group.optimizer)
    if callable(group.match):
        config["match"] = keras.saving.serialize_keras_object(group.match)
    return config


def assign_groups(where, groups, variables):
    """The group of each variable, the first match winning; a group without variables is an error."""
    chosen = []
    for variable in variables:
        chosen.append(next((group for group in groups if group.picks(variable)), EVERYTHING_ELSE))
    for group in groups:
        if not any(group.picks(variable) for variable in variables):
            paths = [variable.path for variable in variables]
            shown = ", ".join(paths[:8]) + (", ..." if len(paths) > 8 else "")
            raise invalid(where, "groups", group.match, f"patterns that match a variable's path (there are: {shown})")
    return chosen
