"""Recipes: what they make, what the schema says of them, and how a wrong one is refused."""

import inspect

import jsonschema
import pytest
import yaml

from keras_dlopt import callbacks, schedules
from keras_dlopt.callbacks import from_recipe, recipe_schema


def _needed(schedule):
    parameters = inspect.signature(type(schedule)).parameters.values()
    config = schedule.get_config()
    return {p.name: config[p.name] for p in parameters if p.default is inspect.Parameter.empty}


# What a class needs to be told.
NEEDED = {
    "BatchSizeSchedule": {"sizes": {0: 8, 0.5: 16}},
    "Prune": {"sparsity": 0.5},
    "RecordOptimizer": {"logdir": "logs"},
    "ResumeExactly": {"path": "run"},
    "StopOnTarget": {"monitor": "loss", "target": 0.1},
    "TimeBudget": {"minutes": 5},
    **{name: _needed(row.example) for name, row in schedules.TABLE.items()},
}
NAMES = [n for n in callbacks.__all__ if n[0].isupper() and n not in ("Callback", "ScheduleCallback")]


def accepts(content):
    return jsonschema.Draft202012Validator(recipe_schema()).is_valid(content)


def made(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return from_recipe(path)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


@pytest.mark.parametrize("name", NAMES)
def test_every_callback_by_its_name(tmp_path, name):
    needed = NEEDED.get(name, {})
    content = {"callbacks": [{name: needed}] if needed else [name, {name: None}, {name: {}}]}
    assert accepts(content)
    found = made(tmp_path, yaml.safe_dump(content))
    assert [type(callback) for callback in found] == [getattr(callbacks, name)] * len(content["callbacks"])
    for callback in found:
        assert {**callback.get_config(), **needed} == callback.get_config()
    # All of its defaults, written out, are accepted too, and no name but its own.
    parameters = list(inspect.signature(getattr(callbacks, name)).parameters.values())
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    given = {**{n: list(d) if isinstance(d, tuple) else d for n, d in defaults.items()}, **needed}
    assert accepts({"callbacks": [{name: given}]})
    assert not accepts({"callbacks": [{name: {**needed, "nonsense": 1}}]})
    if len(defaults) < len(parameters):
        assert not accepts({"callbacks": [name]})


def test_arguments_arrive_as_numbers_lists_and_objects(tmp_path):
    text = """
callbacks:
  - OneCycle: {peak: 1e-3}          # a number, though YAML 1.1 has it for text
  - Prune: {sparsity: 0.8, skip: [logits], pattern: [4, 1]}
  - StopOnTarget: {monitor: val_loss, target: -2E+1, mode: min}
"""
    cycle, prune, stop = made(tmp_path, text)
    assert cycle.get_config()["peak"] == 1e-3
    assert prune.get_config()["skip"] == ["logits"] and prune.get_config()["pattern"] == [4, 1]
    assert stop.get_config()["target"] == -20.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("callbacks:\n  - OneCycl", r"recipe.yaml, line 2: 'OneCycl' is no callback .* did you mean 'OneCycle'"),
        ("callbacks:\n  - Adam\n", r"line 2: 'Adam' is no callback of keras_dlopt, one of AverageWeights, "),
        (
            "callbacks:\n- Cluster\n- Prune: {sparsity: 0.5, star: 1}",
            r"line 3: `Prune\(star=...\)` must be one of spars",
        ),
        ("callbacks:\n- Cluster\n- Prune:\n    begin: 5", r"line 3: `Prune` needs sparsity"),
        ("callbacks: [Prune]", r"line 1: `Prune` needs sparsity"),
        ("callbacks: [{Prune: {sparsity: many}}]", r"line 1: `Prune\(sparsity=...\)` must be .* sparsity='many'"),
        (
            "callbacks: [{Prune: {sparsity: 1.5}}]",
            r"line 1: `Prune\(sparsity=...\)` must be a finite number in \[0, 1\)",
        ),
        ("callbacks: [{Cluster: {clusters: [4]}}]", r"line 1: `Cluster\(clusters=...\)` must be"),
        ("callbacks: [{OneCycle: {peak: high}}]", r"line 1: `OneCycle\(peak=...\)` must be"),
        ("callbacks: [{OneCycle: 0.1}]", r"line 1 is neither a name nor `Name: "),
        ("callbacks: [{Cluster: {}, OneCycle: {}}]", r"line 1 is neither a name nor `Name: "),
        ("callbacks: [7]", r"line 1 is neither a name nor `Name: "),
        ("callbacks: Prune", r"recipe.yaml: a recipe is `callbacks: \[...\]`"),
        ("- Prune", r"recipe.yaml: a recipe is"),
        ("callbacks: []\nepochs: 3", r"recipe.yaml: a recipe is"),
        ("", r"recipe.yaml: a recipe is"),
        ("callbacks:\n  - {Prune: [", r"(?s)recipe.yaml is not YAML: .*line 2"),
        ("callbacks: [!!python/object:os.system {}]", r"(?s)recipe.yaml is not YAML: .*line 1"),
    ],
)
def test_a_wrong_recipe_names_the_line_and_what_is_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        made(tmp_path, text)


def test_no_file():
    with pytest.raises(FileNotFoundError):
        from_recipe("nowhere.yaml")
