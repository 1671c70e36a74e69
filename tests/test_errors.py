"""Bad input: each case is refused at the earliest call that can know, by an error that names the argument."""

import keras
import numpy as np
import pytest

import keras_dlopt as dlopt

opt = dlopt.optimizers

CONSTRUCTORS = {
    "learning_rate negative": (lambda: opt.Adam(-1e-3), r"Adam\(learning_rate=.*>= 0.*-0.001"),
    "learning_rate NaN": (lambda: opt.SGD(float("nan")), r"SGD\(learning_rate=.*nan"),
    "learning_rate infinite": (lambda: opt.Lion(float("inf")), r"Lion\(learning_rate=.*inf"),
    "learning_rate text": (lambda: opt.RAdam("fast"), r"RAdam\(learning_rate=.*'fast'"),
    "beta_1 is 1": (lambda: opt.Adam(beta_1=1.0), r"Adam\(beta_1=.*\[0.0, 1.0\).*1.0"),
    "beta_2 negative": (lambda: opt.Lion(beta_2=-0.1), r"Lion\(beta_2=.*-0.1"),
    "beta_3 NaN": (lambda: opt.Adan(beta_3=float("nan")), r"Adan\(beta_3=.*nan"),
    "beta_1 boolean": (lambda: opt.Adam(beta_1=False), r"Adam\(beta_1=.*False"),
    "beta_1 None": (lambda: opt.Adam(beta_1=None), r"Adam\(beta_1=.*None"),
    "epsilon zero": (lambda: opt.AdaBelief(epsilon=0), r"AdaBelief\(epsilon=.*> 0.*0"),
    "rho above 1": (lambda: opt.RMSprop(rho=1.1), r"RMSprop\(rho=.*1.1"),
    "momentum above 1": (lambda: opt.SGD(momentum=1.5), r"SGD\(momentum=.*1.5"),
    "nesterov text": (lambda: opt.SGD(nesterov="yes"), r"SGD\(nesterov=.*True or False.*'yes'"),
    "weight_decay negative": (lambda: opt.AdamW(weight_decay=-0.1), r"AdamW\(weight_decay=.*-0.1"),
    "clipnorm zero": (lambda: opt.Adam(clipnorm=0), r"Adam\(clipnorm=.*> 0.*0"),
    "two clippings": (lambda: opt.Adam(clipnorm=1.0, clipvalue=1.0), "Only one of `clipnorm`"),
    "ema_momentum above 1": (lambda: opt.Adam(use_ema=True, ema_momentum=2), r"Adam\(ema_momentum=.*2"),
    "accumulation of 1": (
        lambda: opt.Adam(gradient_accumulation_steps=1),
        r"gradient_accumulation_steps=.*whole number >= 2.*1",
    ),
    "accumulation of 2.5": (lambda: opt.Adam(gradient_accumulation_steps=2.5), "gradient_accumulation_steps=.*2.5"),
    "unknown name": (lambda: opt.get("adamm"), r"get\(identifier=.*Adam.*'adamm'"),
    "unknown family": (lambda: opt.names("second order"), r"names\(family=.*'second order'"),
    "groups not a list": (lambda: opt.Adam(groups={"match": "x"}), r"Adam\(groups=.*list of dictionaries"),
    "group without match": (lambda: opt.Adam(groups=[{"frozen": True}]), r'Adam\(groups=.*"match"'),
    "group with an unknown key": (
        lambda: opt.Adam(groups=[{"match": "x", "lr": 0.1}]),
        r"Adam\(groups=.*learning_rate",
    ),
    "group pattern broken": (lambda: opt.Adam(groups=[{"match": "("}]), r"Adam\(groups=.*compile"),
    "group rate negative": (
        lambda: opt.Adam(groups=[{"match": "x", "learning_rate": -1}]),
        r"Adam\(groups\[learning_rate\]=.*-1",
    ),
    "group decay NaN": (
        lambda: opt.Adam(groups=[{"match": "x", "weight_decay": float("nan")}]),
        r"Adam\(groups\[weight_decay\]=.*nan",
    ),
    "group frozen text": (lambda: opt.Adam(groups=[{"match": "x", "frozen": "no"}]), r"Adam\(groups\[frozen\]=.*'no'"),
}


@pytest.mark.parametrize("call, message", CONSTRUCTORS.values(), ids=CONSTRUCTORS)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_misspelt_argument_is_refused_with_the_right_ones():
    with pytest.raises(TypeError, match=r"`Adam\(...\)`: .*'beta1'.*beta_1=0.9"):
        opt.Adam(beta1=0.9)


def test_a_group_pattern_that_matches_nothing_is_an_error_when_the_model_is_known():
    optimizer = opt.Adam(groups=[{"match": "backbone/", "frozen": True}])
    with pytest.raises(ValueError, match=r"Adam\(groups=.*there are: .*head.*'backbone/'"):
        optimizer.build([keras.Variable(np.ones(2), name="head")])


def test_no_trainable_variables():
    with pytest.raises(ValueError, match="`Adam` got no trainable variables"):
        opt.Adam().build([])
