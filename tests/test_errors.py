"""Bad input: each case is refused at the earliest call that can know, by an error that names the argument."""

import keras
import numpy as np
import pytest

from keras_dlopt import callbacks, compress, schedules, step, tpu_configs
from keras_dlopt import optimizers as opt

REFUSED = {
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
    "schedule peak NaN": (lambda: schedules.WarmupCosine(float("nan"), 100), r"WarmupCosine\(peak=.*nan"),
    "schedule without steps": (lambda: schedules.WarmupCosine(0.1, 0), r"WarmupCosine\(steps=.*>= 1.*0"),
    "warm-up above the run": (
        lambda: schedules.WarmupCosine(0.1, 100, warmup=100),
        r"warmup=.*less than the 100 steps",
    ),
    "warm-up share above 1": (lambda: schedules.OneCycle(0.1, 100, warmup=1.5), r"OneCycle\(warmup=.*share.*1.5"),
    "floor above the peak": (lambda: schedules.WarmupCosine(0.1, 100, floor=0.2), r"floor=.*at most peak=0.1.*0.2"),
    "div below 1": (lambda: schedules.OneCycle(0.1, 100, div=0.5), r"OneCycle\(div=.*>= 1.*0.5"),
    "sparsity of 1": (lambda: callbacks.Prune(1.0), r"Prune\(sparsity=.*\[0, 1\).*1.0"),
    "sparsity negative": (lambda: callbacks.Prune(-0.1), r"Prune\(sparsity=.*-0.1"),
    "sparsity NaN": (lambda: callbacks.Prune(float("nan")), r"Prune\(sparsity=.*nan"),
    "pruning every 0 steps": (lambda: callbacks.Prune(0.5, frequency=0), r"Prune\(frequency=.*>= 1.*0"),
    "recording every 0 updates": (lambda: callbacks.RecordOptimizer("logs", every=0), r"RecordOptimizer\(every=.*0"),
    "recording to nowhere": (lambda: callbacks.RecordOptimizer(""), r"RecordOptimizer\(logdir=.*path of a folder"),
    "attaching to a name": (lambda: step.attach("adam", step.Observer()), r"attach\(optimizer=.*Keras optimizer"),
    "attaching a function": (lambda: step.attach(opt.Adam(), print), r"attach\(observer=.*Observer"),
    "teacher is no model": (lambda: compress.distill("teacher", net()), r"distill\(teacher=.*keras.Model.*'teacher'"),
    "temperature of 0": (lambda: compress.distill(net(), net(), temperature=0), r"distill\(temperature=.*> 0.*0"),
    "alpha above 1": (lambda: compress.distill(net(), net(), alpha=1.5), r"distill\(alpha=.*\[0, 1\].*1.5"),
    "student of other classes": (lambda: compress.distill(net(3), net(4)), r"distill\(student=.*3 classes"),
    "export to another format": (lambda: compress.export(net(), "model.h5"), r"export\(path=.*\.tflite.*model.h5"),
    "int8 without examples": (lambda: compress.export(net(), "m.tflite", int8=True), r"export\(representative=.*None"),
    "report on a missing file": (lambda: compress.report("missing.keras"), r"report\(model=.*missing.keras"),
    "unknown TPU slice": (lambda: tpu_configs.load("v9-1"), r"load\(name=.*v5e-8.*'v9-1'"),
}


def net(classes=3):
    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(classes)])


def fit(*used, model=None, **kwargs):
    """Twelve steps on four columns with the callbacks `used`."""
    model = model or net()
    model.compile(opt.SGD(0.1), "mse", jit_compile=False)
    model.fit(np.zeros((12, 4)), np.zeros((12, 3)), batch_size=2, epochs=2, verbose=0, callbacks=list(used), **kwargs)


def untrainable():
    model = net()
    model.trainable = False
    return model


def distill_on(labels):
    distiller = compress.distill(net(), net())
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    distiller.fit(np.zeros((3, 4)), np.array(labels), verbose=0)


# What only the run tells: its length, its model.
REFUSED_BY_FIT = {
    "warm-up longer than the run": (
        lambda: fit(callbacks.OneCycle(0.1, warmup=13)),
        r"warmup=.*less than the 12 steps",
    ),
    "pruning beyond the run": (lambda: fit(callbacks.Prune(0.5, end=13)), r"Prune\(end=.*12 steps.*13"),
    "nothing to prune": (lambda: fit(callbacks.Prune(0.5), model=untrainable()), r"Prune\(model=.*weights to prune"),
    "no pattern to skip": (lambda: fit(callbacks.Prune(0.5, skip=["head"])), r"Prune\(skip=.*kernel.*'head'"),
    "keeping zeros of a dense model": (lambda: fit(callbacks.Prune.keep()), r"Prune.keep\(model=.*zeros"),
    "labels outside the classes": (lambda: distill_on([0, 3, -1]), r"fit\(y=.*labels from 0 to 2.*\[-1, 3\]"),
}


@pytest.mark.parametrize("call, message", REFUSED_BY_FIT.values(), ids=REFUSED_BY_FIT)
def test_refused_before_the_first_step(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
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
