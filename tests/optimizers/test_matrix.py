"""What is particular to the matrix rules: which variables they take, how those are read, and what the rules promise."""

import contextlib
import inspect

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from references_matrix import inverse_root as inverse_root_by_eigh
from references_matrix import newton_schulz as newton_schulz_in_numpy
from references_matrix import norm_lower_bound

from keras_dlopt import optimizers
from keras_dlopt.optimizers.executor.hashed_normal import normal
from keras_dlopt.optimizers.matrix.blocks import block_shape, cut, join
from keras_dlopt.optimizers.matrix.eigenbasis import first_bases, refreshed
from keras_dlopt.optimizers.matrix.kron import _spectral_norm
from keras_dlopt.optimizers.matrix.newton_schulz import orthogonalize, polar_express
from keras_dlopt.optimizers.matrix.roots import inverse_root
from keras_dlopt.optimizers.matrix.views import view

RULES = [row.name for row in optimizers.TABLE.values() if row.family == "matrix" or row.name == "Muon"]
rng = np.random.default_rng(11)


def random(*shape):
    return rng.normal(size=shape).astype("float32")


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def array(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")


def variable(value, path):
    """A variable with a path, as one of a model has it."""
    *scopes, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(keras.name_scope(scope))
        return keras.Variable(value, name=name)


def moves(optimizer, gradients, paths, steps=1):
    """How far each variable moves from zero in `steps` steps along the same gradients."""
    variables = [variable(np.zeros_like(g), path) for g, path in zip(gradients, paths, strict=True)]
    for _ in range(steps):
        optimizer.apply([tensor(g) for g in gradients], variables)
    return [array(v) for v in variables]


# Which variable goes where


class PixelsAndWords(keras.layers.Layer):
    """A table of positions: an embedding that is no `Embedding`."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="position_embedding")

    def call(self, x):
        return x + self.table


def small_model():
    x = inputs = keras.Input((8, 8, 3), name="picture")
    x = layers.Conv2D(16, 3, strides=4, padding="same", name="stem")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.Reshape((4, 32))(x)
    x = PixelsAndWords(name="positions")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.MultiHeadAttention(2, 6, name="attention")(x, x)
    x = layers.EinsumDense("abc,cde->abde", (4, 2, 5), bias_axes="de", name="split")(x)
    x = layers.Reshape((4, 10))(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(9, name="hidden")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


BY_DEFAULT = {
    "stem/kernel",
    "attention/query/kernel",
    "attention/key/kernel",
    "attention/value/kernel",
    "attention/attention_output/kernel",
    "split/kernel",
    "hidden/kernel",
}


def taken(optimizer, model):
    """The paths of the variables that the rule itself serves."""
    rows = optimizer.describe(model).rows
    assert {row.rule for row in rows} <= {type(optimizer).__name__, "AdamW"}
    return {row.path for row in rows if row.rule == type(optimizer).__name__}


@pytest.mark.parametrize("name", RULES)
def test_describe_says_what_goes_where(name):
    optimizer, model = optimizers.get(name), small_model()
    assert taken(optimizer, model) == BY_DEFAULT
    printed = repr(optimizer.describe(model))
    for row in optimizer.describe(model).rows:
        assert f"{row.path} " in printed
    head = next(row for row in optimizer.describe(model).rows if row.path == "head/kernel")
    assert (head.rule, head.weight_decay, head.state_bytes) == ("AdamW", 0.004, 8 * 27)


def test_what_goes_to_adamw_can_be_chosen():
    assert taken(optimizers.Muon(exclude_head=False), small_model()) == BY_DEFAULT | {"head/kernel"}
    by_function = optimizers.Muon(exclude_layers=["attention", lambda v: v.shape[-1] == 9])
    assert taken(by_function, small_model()) == {"stem/kernel", "split/kernel"}
    with_tables = optimizers.Muon(exclude_embeddings=False)
    assert taken(with_tables, small_model()) == BY_DEFAULT | {"positions/position_embedding"}


def test_adamw_has_its_own_rate_and_decay():
    rows = optimizers.SOAP(adam_lr_ratio=0.5, adam_weight_decay=None, weight_decay=0.3).describe(small_model()).rows
    settings = {(row.rule, row.learning_rate, row.weight_decay) for row in rows}
    assert settings == {("SOAP", 1.0, 0.3), ("AdamW", 0.5, 0.0)}


def test_a_head_that_is_no_last_kernel_stays():
    """Where a norm follows the last kernel, the output layer is the embedding table again: no head to leave out."""
    x = inputs = keras.Input((5,))
    x = layers.Dense(4, name="first")(x)
    x = layers.LayerNormalization()(layers.Dense(4, name="last")(x))
    assert taken(optimizers.Muon(), keras.Model(inputs, x)) == {"first/kernel", "last/kernel"}


def test_in_a_group_of_another_optimizer_the_group_decides():
    optimizer = optimizers.Lion(
        groups=[{"match": "hidden|head", "optimizer": optimizers.Muon(exclude_layers=["bias"])}]
    )
    rules = {row.path: row.rule for row in optimizer.describe(small_model()).rows}
    assert rules["hidden/kernel"] == rules["head/kernel"] == "Muon"
    assert rules["head/bias"] == "AdamW" and rules["stem/kernel"] == "Lion"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exclude_layers": "head"}, "exclude_layers=.*must be a list of patterns or functions"),
        ({"exclude_layers": ["("]}, "exclude_layers=.*must be patterns that compile"),
        ({"input_axes": {}}, "input_axes=.*a dictionary that is not empty"),
        ({"input_axes": {"split": 0}}, r"input_axes\[split\]=.*a whole number >= 1"),
        ({"input_axes": {3: 1}}, "input_axes=.*must be patterns, as strings"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        optimizers.Muon(**arguments)


def test_input_axes_that_leave_no_outputs_are_refused():
    optimizer = optimizers.Muon(input_axes={"split": 3})
    with pytest.raises(ValueError, match=r"`Muon\(input_axes=...\)` must be fewer axes than the 3 of split/kernel"):
        optimizer.build(small_model().trainable_variables)


# How a variable is read


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple),
    layer=st.sampled_from(["query", "attention_output", "conv"]),
    inputs=st.integers(1, 4) | st.none(),
    per_head=st.booleans(),
)
def test_views_round_trip(shape, layer, inputs, per_head):
    axes = None if inputs is None else {layer: min(inputs, len(shape) - 1)}
    seen = view(f"block/{layer}/kernel", shape, axes, per_head)
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    matrices = seen.read(tensor(x))
    assert tuple(matrices.shape) == tuple(seen[:3])
    np.testing.assert_array_equal(ops.convert_to_numpy(seen.write(matrices, shape)), x)


def test_views_read_what_a_layer_multiplies_by():
    """Each kernel, as the matrix that maps the layer's flat input to its flat output."""
    model, shapes = small_model(), {}
    optimizer = optimizers.Muon(input_axes={"split": 1})
    for v in model.trainable_variables:
        if v.path in BY_DEFAULT:
            shapes[v.path] = optimizer.matrices(v)[:3]
    assert shapes == {
        "stem/kernel": (1, 27, 16),
        "attention/query/kernel": (1, 32, 12),
        "attention/key/kernel": (1, 32, 12),
        "attention/value/kernel": (1, 32, 12),
        "attention/attention_output/kernel": (1, 12, 32),
        "split/kernel": (1, 32, 10),
        "hidden/kernel": (1, 10, 9),
    }


@pytest.mark.parametrize("name", RULES)
def test_convolution_kernels_are_the_matrix_of_their_patches(name):
    g = random(3, 3, 4, 6)
    arguments = {"exclude_head": False} | ({"rms_rate": 0.2} if "Muon" in name else {})
    conv = moves(optimizers.get(name, learning_rate=0.1, **arguments), [g], ["conv/kernel"], 2)[0]
    dense = moves(optimizers.get(name, learning_rate=0.1, **arguments), [g.reshape(36, 6)], ["dense/kernel"], 2)[0]
    np.testing.assert_allclose(conv.reshape(36, 6), dense, atol=1e-6)
    assert np.abs(dense).max() > 1e-3


HEADS = {"attention/query/kernel": 1, "attention/attention_output/kernel": 0, "split/kernel": 1}


@pytest.mark.parametrize("path", HEADS)
@pytest.mark.parametrize("name", [pytest.param(RULES[0], marks=pytest.mark.both_backends), *RULES[1:]])
def test_per_head_equals_head_by_head(name, path):
    g, axis = random(3, 4, 5), HEADS[path]
    split = {"input_axes": {"split": 1}} if "split" in path else {}
    whole = moves(optimizers.get(name, learning_rate=0.1, per_head=True, **split), [g], [path], 2)[0]
    heads = np.moveaxis(g, axis, 0)
    if name == "Kron":  # whose probes differ from head to head
        joint = moves(optimizers.Kron(0.1, **split), [g], [path], 2)[0]
        assert np.abs(whole - joint).max() > 1e-3
        return
    for i, head in enumerate(heads):
        alone = moves(optimizers.get(name, learning_rate=0.1), [head], ["dense/kernel"], 2)[0]
        np.testing.assert_allclose(np.moveaxis(whole, axis, 0)[i], alone, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in RULES if name != "Kron"])
def test_stacking_equals_one_by_one(name):
    gradients = [random(6, 4) * 10.0**i for i in range(3)]
    paths = [f"layer{i}/kernel" for i in range(3)]
    optimizer = optimizers.get(name, learning_rate=0.1, exclude_head=False)
    together = moves(optimizer, gradients, paths, 3)
    assert len([b for b in optimizer._plan.buckets]) == 1
    for g, path, stacked in zip(gradients, paths, together, strict=True):
        alone = moves(optimizers.get(name, learning_rate=0.1), [g], [path], 3)[0]
        np.testing.assert_allclose(stacked, alone, atol=1e-5)


# Muon


@pytest.mark.both_backends
def test_newton_schulz_is_that_of_numpy():
    abc = [(3.4445, -4.7750, 2.0315)] * 5
    for shape in ((7, 12), (12, 7), (5, 5)):
        x = random(*shape)
        np.testing.assert_allclose(array(orthogonalize(tensor(x), abc)), newton_schulz_in_numpy(x), atol=1e-5)


@pytest.mark.parametrize(("steps", "off"), [(5, 0.15), (6, 0.02), (9, 1e-5)])
def test_polar_express_brings_singular_values_to_1(steps, off):
    left, right = np.linalg.qr(random(24, 24))[0], np.linalg.qr(random(40, 24))[0]
    x = (left * np.geomspace(1e-2, 1, 24)) @ right.T
    values = np.linalg.svd(array(orthogonalize(tensor(x), polar_express(steps))), compute_uv=False)
    assert np.abs(values - 1).max() < off
    keller = np.linalg.svd(array(orthogonalize(tensor(x), [(3.4445, -4.7750, 2.0315)] * steps)), compute_uv=False)
    assert np.abs(keller - 1).max() > 0.2


@pytest.mark.parametrize("polar", [False, True])
def test_bfloat16_comes_close_to_float32(polar):
    g = random(64, 48)
    fine, coarse = (
        moves(optimizers.Muon(1.0, newton_schulz_dtype=dtype, polar_express=polar), [g], ["dense/kernel"])[0]
        for dtype in (None, "bfloat16")
    )
    difference = np.linalg.norm(fine - coarse) / np.linalg.norm(fine)
    assert 1e-4 < difference < 0.1  # a small singular value is amplified, and its rounding with it


def test_scales_are_the_authors_and_adams():
    g = random(16, 64)
    author, matched = (moves(optimizers.Muon(1.0, rms_rate=r), [g], ["dense/kernel"])[0] for r in (None, 0.2))
    np.testing.assert_allclose(author / 2.0, matched / (0.2 * 8), atol=1e-5)  # sqrt(64 / 16), sqrt(64)
    assert np.sqrt(np.mean(matched**2)) == pytest.approx(0.2, rel=0.2)


def test_where_keras_is_right_the_numbers_are_keras_own():
    """Dense kernels, biases and a table: what Keras's Muon also reads right."""
    shapes = {"embedding/embeddings": (9, 6), "a/kernel": (6, 8), "a/bias": (8,), "b/kernel": (8, 4)}
    starts, both = {path: random(*shape) for path, shape in shapes.items()}, []
    for cls, extra in ((keras.optimizers.Muon, {}), (optimizers.Muon, {"exclude_head": False})):
        weights = [variable(start, path) for path, start in starts.items()]
        optimizer = cls(learning_rate=0.02, weight_decay=0.1, **extra)
        gradients = np.random.default_rng(5)
        for _ in range(20):
            grads = [tensor(gradients.normal(size=w.shape)) for w in weights]
            optimizer.apply(grads, weights)
        both.append([array(w) for w in weights])
    for theirs, ours, start in zip(*both, starts.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert np.abs(ours - start).max() > 0.05


def test_muon_has_the_arguments_of_keras():
    theirs, ours = (inspect.signature(cls).parameters for cls in (keras.optimizers.Muon, optimizers.Muon))
    for name, parameter in theirs.items():
        if name != "kwargs":
            assert ours[name].default == parameter.default, name
    assert list(theirs)[:6] == list(ours)[:6]


def test_muon_and_normuon_are_near_torchs_in_bfloat16():
    """Peers compute in bfloat16, and keep kernels as (outputs, inputs)."""
    import torch
    from pytorch_optimizer import NorMuon

    start, gradients = random(12, 8), [random(12, 8) for _ in range(10)]
    torchs = {
        "Muon": lambda p: torch.optim.Muon([p], lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        "NorMuon": lambda p: NorMuon(
            [{"params": [p], "use_muon": True, "lr": 0.05, "weight_decay": 0.1, "update_scale": "match_rms"}]
        ),
    }
    for name, make in torchs.items():
        p = torch.nn.Parameter(torch.tensor(start.T.copy()))
        theirs, w = make(p), variable(start, "dense/kernel")
        ours = optimizers.get(name, learning_rate=0.05, weight_decay=0.1, newton_schulz_dtype="bfloat16")
        for g in gradients:
            p.grad = torch.tensor(g.T.copy())
            theirs.step()
            ours.apply([tensor(g)], [w])
        moved = np.linalg.norm(array(w) - start)
        assert np.linalg.norm(array(w) - p.detach().numpy().T) < 0.05 * moved, name


def test_normuon_moves_all_outputs_alike():
    g = random(32, 16) * np.geomspace(1e-3, 1, 16)
    for seed in range(2):
        move = moves(optimizers.NorMuon(1.0, rms_rate=0.2), [np.roll(g, seed, 1)], ["dense/kernel"])[0]
        norms = np.linalg.norm(move, axis=0)
        np.testing.assert_allclose(norms, norms.mean(), rtol=1e-4)
        assert np.sqrt(np.mean(move**2)) == pytest.approx(0.2, rel=1e-4)


# Shampoo


@pytest.mark.both_backends
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_inverse_root_is_that_of_an_eigendecomposition(p):
    q = np.linalg.qr(rng.normal(size=(3, 20, 20)))[0]
    for low in (1e-2, 1e-4):
        a = (q * np.geomspace(low, 1, 20)) @ np.swapaxes(q, 1, 2) * np.array([1e-6, 1.0, 1e4])[:, None, None]
        roots = array(inverse_root(tensor(a), p, 1e-6))
        for own, root in zip(a, roots, strict=True):
            expected = inverse_root_by_eigh(own, p, 1e-6)
            assert np.linalg.norm(root - expected) < 3e-3 * np.linalg.norm(expected)


def test_inverse_root_of_nothing_is_a_multiple_of_the_identity():
    roots = array(inverse_root(ops.zeros((2, 5, 5)), 4, 1e-8))
    np.testing.assert_allclose(roots, np.broadcast_to(100 * np.eye(5), (2, 5, 5)), rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 3), rows=st.integers(1, 13), columns=st.integers(1, 13), longest=st.integers(1, 8))
def test_blocks_are_cut_and_joined(count, rows, columns, longest):
    shape = block_shape(rows, columns, longest)
    assert max(shape) <= longest
    x = np.arange(count * rows * columns, dtype="float32").reshape(count, rows, columns)
    blocks = cut(tensor(x), shape)
    assert tuple(blocks.shape[1:]) == shape
    assert array(blocks).sum() == x.sum()
    np.testing.assert_array_equal(array(join(blocks, count, rows, columns)), x)


@pytest.mark.parametrize("graft", ["adam", "sgd"])
def test_shampoo_has_the_length_of_its_graft(graft):
    gradients = [random(6, 9) for _ in range(12)]
    w, steps = variable(np.zeros((6, 9), "float32"), "dense/kernel"), []
    optimizer = optimizers.Shampoo(0.1, precondition_frequency=3, graft=graft)
    adam, v = optimizers.Adam(0.1, epsilon=1e-12), variable(np.zeros((6, 9), "float32"), "adam/kernel")
    m = 0.0
    for t, g in enumerate(gradients, 1):
        before, adam_before = array(w), array(v)
        optimizer.apply([tensor(g)], [w])
        adam.apply([tensor(g)], [v])
        m = 0.9 * m + 0.1 * g
        expected = array(v) - adam_before if graft == "adam" else -0.1 * m / (1 - 0.9**t)
        step = array(w) - before
        assert np.linalg.norm(step) == pytest.approx(np.linalg.norm(expected), rel=1e-4)
        steps.append(np.linalg.norm(step - expected) > 1e-3 * np.linalg.norm(step))
    assert steps == [False] * 2 + [True] * 10  # the graft itself until the roots are there


# SOAP


@pytest.mark.both_backends
def test_first_bases_are_orthonormal_and_diagonalise():
    for shape in ((2, 5, 9), (2, 9, 5), (2, 6, 6)):
        g = random(*shape)
        left, right = (array(q) for q in first_bases(tensor(g), 100))
        for q in (left, right):
            eye = np.broadcast_to(np.eye(q.shape[-1]), q.shape)
            np.testing.assert_allclose(np.swapaxes(q, 1, 2) @ q, eye, atol=1e-5)
        core = np.abs(np.swapaxes(left, 1, 2) @ g @ right)
        values = np.linalg.svd(g, compute_uv=False)
        np.testing.assert_allclose(np.diagonal(core, axis1=1, axis2=2), values, rtol=1e-3, atol=1e-4)
        assert (core.sum((1, 2)) - values.sum(1)).max() < 1e-3
    assert first_bases(tensor(random(5, 9)), 6)[1] is None
    assert first_bases(tensor(random(9, 5)), 4) == (None, None)


def test_first_bases_do_not_depend_on_rounding():
    """Of a gradient whose rank is low, as of a batch smaller than the layer."""
    g = random(10, 3) @ random(3, 16)
    for one, other in zip(
        first_bases(tensor(g), 100), first_bases(tensor(g * (1 + 1e-7 * random(10, 16))), 100), strict=True
    ):
        one, other = array(one), array(other)
        np.testing.assert_allclose(one * np.sign(np.sum(one * other, axis=0)), other, atol=1e-3)
        np.testing.assert_allclose(one.T @ one, np.eye(len(one)), atol=1e-5)


def test_refreshed_bases_come_to_diagonalise():
    q = np.linalg.qr(random(8, 8))[0]
    gram, basis = tensor((q * 2.0 ** -np.arange(8.0)) @ q.T), tensor(np.eye(8))
    for _ in range(60):
        basis, order = refreshed(gram, basis)
    np.testing.assert_array_equal(array(order), np.arange(8))
    np.testing.assert_allclose(array(basis).T @ array(basis), np.eye(8), atol=1e-5)
    np.testing.assert_allclose(array(basis).T @ array(gram) @ array(basis), np.diag(2.0 ** -np.arange(8)), atol=1e-5)


def test_soap_is_the_peers_on_square_matrices():
    """Of full rank from the first gradient on: where eigenvalues are 0 the basis is anyone's choice."""
    import torch
    from pytorch_optimizer import SOAP

    start, p = random(6, 6), None
    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    theirs, w = SOAP([p], lr=0.05, weight_decay=0.1, precondition_frequency=3), variable(start, "dense/kernel")
    ours = optimizers.SOAP(0.05, weight_decay=0.1, precondition_frequency=3)
    for _ in range(30):
        g = random(6, 6)
        p.grad = torch.tensor(g, dtype=torch.float64)
        theirs.step()
        ours.apply([tensor(g)], [w])
    np.testing.assert_allclose(array(w), p.detach().numpy(), atol=1e-4)
    assert np.abs(array(w) - start).max() > 0.3


# Kron


@pytest.mark.both_backends
def test_probes_are_normal_and_a_function_of_the_step():
    x = array(normal((4, 300, 200), 5))
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert abs(np.mean(x**4) - 3) < 0.1 and 4 < np.abs(x).max() < 7
    assert abs(np.mean(x[:, 1:] * x[:, :-1])) < 0.01 and abs(np.mean(x[:, :, 1:] * x[:, :, :-1])) < 0.01
    np.testing.assert_array_equal(x, array(normal((4, 300, 200), ops.convert_to_tensor(5.0))))
    assert abs(np.mean(x * array(normal((4, 300, 200), 6)))) < 0.01


def test_spectral_norm_is_that_of_the_authors():
    a = rng.normal(size=(3, 7, 7))
    a = a @ np.swapaxes(a, 1, 2)
    found = array(_spectral_norm(tensor(a)))[:, 0, 0]
    np.testing.assert_allclose(found, [norm_lower_bound(x) for x in a], rtol=1e-4)
    assert (found <= np.linalg.norm(a, 2, axis=(1, 2)) * 1.0001).all() and (found > 0.5 * found.max() / 10).all()


def test_kron_whitens():
    """Gradients with a Kronecker product for covariance: preconditioned, each direction has the same variance."""
    left, right = np.diag(np.geomspace(0.3, 3, 6)), np.linalg.cholesky(0.6 * np.ones((4, 4)) + 0.4 * np.eye(4))
    draws = np.random.default_rng(2)
    optimizer = optimizers.Kron(0.0, momentum=0.0, weight_decay=None)
    w = variable(np.zeros((6, 4), "float32"), "dense/kernel")
    optimizer.build([w])
    bucket = optimizer._plan.buckets[0]
    for _ in range(100):
        optimizer.apply([tensor(left @ draws.normal(size=(6, 4)) @ right.T)], [w])
    q = [np.eye(n) + array(bucket.slots[side])[0] for n, side in ((6, "q_left"), (4, "q_right"))]
    for x in q:
        np.testing.assert_allclose(x, np.triu(x), atol=1e-6)
    gradients = left @ draws.normal(size=(4000, 6, 4)) @ right.T
    whitened = q[0].T @ q[0] @ gradients @ q[1].T @ q[1]
    rows, columns = np.mean(whitened**2, axis=(0, 2)), np.mean(whitened**2, axis=(0, 1))
    assert rows.max() / rows.min() < 6 and columns.max() / columns.min() < 6
    before = np.mean(gradients**2, axis=(0, 2))
    assert before.max() / before.min() > 80
    assert 0.3 < np.mean(whitened**2) < 3


def test_kron_without_gradients_keeps_its_preconditioner():
    w = variable(np.ones((5, 4), "float32"), "dense/kernel")
    optimizer = optimizers.Kron(0.1)
    for _ in range(5):
        optimizer.apply([ops.zeros((5, 4))], [w])
    np.testing.assert_array_equal(array(w), 1.0)
    np.testing.assert_allclose(array(optimizer._plan.buckets[0].slots["q_left"]), 0.0, atol=1e-6)


def test_kron_updates_its_preconditioner_ever_more_rarely():
    due = optimizers.Kron(min_update_probability=0.03)._due
    updates = array(due(ops.convert_to_tensor(np.arange(1, 20001, dtype="float32"))))
    assert updates[:500].all()
    p = np.clip(np.exp(-0.001 * (np.arange(1, 20001) - 500)), 0.03, 1)
    assert np.abs(np.cumsum(updates) - np.cumsum(p)).max() < 2


def test_kron_bounds_its_updates():
    move = moves(optimizers.Kron(1.0), [1e6 * random(8, 8)], ["dense/kernel"])[0]
    assert np.sqrt(np.mean(move**2)) == pytest.approx(1.1, rel=1e-4)


# All of them


@pytest.mark.parametrize("name", RULES)
def test_a_zero_gradient_leaves_finite_weights(name):
    g = np.zeros((6, 4), "float32")
    optimizer = optimizers.get(name, learning_rate=0.1, weight_decay=None)
    np.testing.assert_array_equal(moves(optimizer, [g], ["dense/kernel"], 12)[0], g)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_other_dtypes_of_weights(name, dtype):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only where it is switched on")
    w = keras.Variable(np.zeros((6, 4)), dtype=dtype, name="kernel")
    optimizer = optimizers.get(name, learning_rate=0.1)
    for _ in range(2):
        optimizer.apply([ops.cast(tensor(random(6, 4)), dtype)], [w])
    assert keras.backend.standardize_dtype(w.dtype) == dtype
    assert 1e-3 < np.abs(np.asarray(ops.convert_to_numpy(ops.cast(w, "float32")))).max() < 1
