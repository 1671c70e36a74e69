"""Slow references of the matrix rules, in float64, written from the papers: one matrix at a time, no stacks.

The problem's variables w2 and w3 are matrices, (5, 3) and (36, 8). The last kernel, w4, is the head: it goes to AdamW
unless a case says otherwise. The scalar w0 and the vector w1 always do.
"""

import math

import numpy as np
from references import decaying, rate_at
from trajectories import START, STEPS, numpy_gradient

MATRICES = {2: (5, 3), 3: (36, 8)}
HEAD = {4: (12, 4)}

# Where the companion's defaults are not AdamW's.
ADAM_NAMES = {"adam_beta_1": "beta_1", "adam_beta_2": "beta_2", "adam_weight_decay": "weight_decay"}


def adamw(w, g, state, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.004):
    """Keras's AdamW."""
    state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * g
    state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g**2
    scale = math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - lr * weight_decay * w - lr * scale * state["m"] / (np.sqrt(state["v"]) + epsilon)


def with_adamw(rule, **adam):
    """`rule(w, g, state, t, lr, **arguments) -> w` for the matrices, and AdamW with `adam` for the rest."""

    def trajectory(rate, exclude_head=True, **kwargs):
        taken = MATRICES if exclude_head else MATRICES | HEAD
        own = {name: value for name, value in kwargs.items() if name not in ADAM_NAMES}
        companion = adam | {ADAM_NAMES[name]: value for name, value in kwargs.items() if name in ADAM_NAMES}
        weights = [np.asarray(w, "float64") for w in START]
        states = [{} for _ in weights]
        for step in range(STEPS):
            grads = [np.asarray(g, "float64") for g in numpy_gradient(weights, step)]
            at = (step + 1, rate_at(rate, step))
            for i, (w, g) in enumerate(zip(weights, grads, strict=True)):
                if i in taken:
                    matrix = rule(w.reshape(taken[i]), g.reshape(taken[i]), states[i], *at, **own)
                    weights[i] = matrix.reshape(w.shape)
                else:
                    weights[i] = adamw(w, g, states[i], *at, **companion)
        return weights

    return trajectory


# Muon and NorMuon

# arXiv 2505.16932, appendix: the coefficients of the authors' code, before its safety factor.
POLAR_EXPRESS = [
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
]


def newton_schulz(x, steps=5, abc=(3.4445, -4.7750, 2.0315)):
    """The iteration of https://kellerjordan.github.io/posts/muon."""
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        a, b, c = abc
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def polar_express(x):
    """The iteration of arXiv 2505.16932 in five steps, with the safety factors of the authors' code."""
    x = x / (np.linalg.norm(x) * 1.01)
    for a, b, c in POLAR_EXPRESS:
        a, b, c = a / 1.01, b / 1.01**3, c / 1.01**5
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def orthogonal_momentum(g, state, momentum, nesterov, iteration):
    m = state["m"] = momentum * state.get("m", 0.0) + (1 - momentum) * g
    return iteration(momentum * m + (1 - momentum) * g if nesterov else m)


def muon(w, g, state, t, lr, momentum=0.95, nesterov=True, rms_rate=0.2, polar=False, weight_decay=0.004):
    o = orthogonal_momentum(g, state, momentum, nesterov, polar_express if polar else newton_schulz)
    rows, columns = w.shape
    scale = math.sqrt(max(1, columns / rows)) if rms_rate is None else rms_rate * math.sqrt(max(rows, columns))
    return w - lr * weight_decay * w - lr * scale * o


def muon_polar_express(w, g, state, t, lr, polar_express, **kwargs):
    return muon(w, g, state, t, lr, polar=polar_express, **kwargs)


def optax_muon(rate, momentum, weight_decay=0.004, exclude_head=True, **kwargs):
    """`optax.contrib.muon` in float64, without Nesterov's momentum, which it corrects for bias in its own way."""
    import jax
    import optax.contrib

    def axes(params):
        conv = optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)
        head = None if exclude_head else optax.contrib.MuonDimensionNumbers((0, 1), 2)
        return [None, None, optax.contrib.MuonDimensionNumbers(), conv, head]

    with jax.enable_x64(True):
        optimizer = optax.contrib.muon(
            decaying if rate == "decaying" else rate,
            beta=momentum,
            nesterov=kwargs["nesterov"],
            weight_decay=weight_decay,
            adam_weight_decay=0.004,
            muon_weight_dimension_numbers=axes,
            consistent_rms=kwargs["rms_rate"],
        )
        weights = [np.asarray(w, "float64") for w in START]
        state, update = optimizer.init(weights), jax.jit(optimizer.update)
        for step in range(STEPS):
            updates, state = update(numpy_gradient(weights, step), state, weights)
            weights = [np.asarray(w) for w in optax.apply_updates(weights, updates)]
    return weights


def normuon(w, g, state, t, lr, momentum=0.95, beta_2=0.95, rms_rate=0.2, weight_decay=0.004):
    """arXiv 2510.05491, algorithm 1; `rms_rate=None` is the authors' code. Rows of the paper are columns here."""
    o = orthogonal_momentum(g, state, momentum, True, newton_schulz)
    state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * np.mean(o**2, axis=0)
    u = o / (np.sqrt(state["v"]) + 1e-10)
    rows, columns = w.shape
    if rms_rate is None:
        u = math.sqrt(max(1, columns / rows)) * u * np.linalg.norm(o) / np.linalg.norm(u)
    else:
        u = rms_rate * math.sqrt(w.size) * u / np.linalg.norm(u)
    return w - lr * weight_decay * w - lr * u


# Shampoo


def shampoo(w, g, state, t, lr, block_size=1024, **kwargs):
    """Block by block."""
    new = np.empty_like(w)
    height, width = (math.ceil(n / math.ceil(n / block_size)) for n in w.shape)
    for i in range(0, w.shape[0], height):
        for j in range(0, w.shape[1], width):
            at = (slice(i, i + height), slice(j, j + width))
            new[at] = shampoo_block(w[at], g[at], state.setdefault((i, j), {}), t, lr, **kwargs)
    return new


def shampoo_block(
    w,
    g,
    state,
    t,
    lr,
    beta_1=0.9,
    beta_2=0.999,
    precondition_frequency=10,
    start_preconditioning_step=None,
    root_order=4,
    matrix_epsilon=1e-6,
    graft="adam",
    weight_decay=0.0,
):
    """arXiv 2309.06497, section 3: bias corrections, momentum of the gradient, Adam's or the momentum's length."""
    start = start_preconditioning_step or precondition_frequency
    for name, value, beta in (("m", g, beta_1), ("v", g**2, beta_2), ("l", g @ g.T, beta_2), ("r", g.T @ g, beta_2)):
        state[name] = beta * state.get(name, 0.0) + (1 - beta) * value
    m, v, left, right = (
        state[name] / (1 - beta**t) for name, beta in (("m", beta_1), ("v", beta_2), ("l", beta_2), ("r", beta_2))
    )
    a = m / (np.sqrt(v) + 1e-8) if graft == "adam" else m
    if t >= start and (t - start) % precondition_frequency == 0:
        state["roots"] = [inverse_root(x, root_order, matrix_epsilon) for x in (left, right)]
    if t >= start:
        p = state["roots"][0] @ m @ state["roots"][1]
        a = p * np.linalg.norm(a) / np.linalg.norm(p)
    return w - lr * weight_decay * w - lr * a


def inverse_root(a, p, epsilon):
    """(A + epsilon |A| I)^(-1/p) by an eigendecomposition."""
    values, vectors = np.linalg.eigh(a)
    ridge = epsilon * np.linalg.norm(a)
    return (vectors * (np.maximum(values, 0) + ridge) ** (-1 / p)) @ vectors.T


# SOAP


def soap(
    w,
    g,
    state,
    t,
    lr,
    beta_1=0.95,
    beta_2=0.95,
    shampoo_beta=None,
    weight_decay=0.01,
    precondition_frequency=10,
    max_precondition_dim=10000,
):
    """arXiv 2409.11321, algorithm 3, with the order of the authors' code; m stays in the original basis."""
    beta = beta_2 if shampoo_beta is None else shampoo_beta
    grams = [(1 - beta) * g @ g.T, (1 - beta) * g.T @ g]
    if t == 1:
        state.update(m=np.zeros_like(w), v=np.zeros_like(w), grams=grams)
        state["q"] = first_bases(g, max_precondition_dim)
        return w
    left, right = (np.eye(n) if q is None else q for n, q in zip(w.shape, state["q"], strict=True))
    turned = left.T @ g @ right
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["v"] = beta_2 * state["v"] + (1 - beta_2) * turned**2
    scale = math.sqrt(1 - beta_2 ** (t - 1)) / (1 - beta_1 ** (t - 1))
    adam = scale * (left.T @ state["m"] @ right) / (np.sqrt(state["v"]) + 1e-8)
    w = w - lr * left @ adam @ right.T
    w = w - lr * weight_decay * w
    state["grams"] = [beta * old + new for old, new in zip(state["grams"], grams, strict=True)]
    if (t - 1) % precondition_frequency == 0:
        for axis, (gram, q) in enumerate(zip(state["grams"], state["q"], strict=True)):
            if q is not None:
                product = gram @ q
                order = np.argsort(-np.sum(q * product, axis=0))
                state["v"] = np.take(state["v"], order, axis=axis)
                state["q"][axis] = np.linalg.qr(product[:, order])[0]
    return w


def first_bases(g, longest):
    """Eigenvectors of both Gram matrices, completed as the rule does it: the choice is free where eigenvalues are 0."""
    if g.shape[0] > g.shape[1]:
        return first_bases(g.T, longest)[::-1]
    if g.shape[0] > longest:
        return [None, None]
    left = np.linalg.eigh(g @ g.T)[1][:, ::-1]
    return [left, None if g.shape[1] > longest else np.linalg.qr(g.T @ left, mode="complete")[0]]


# Kron


def kron(
    w,
    g,
    state,
    t,
    lr,
    momentum=0.9,
    preconditioner_learning_rate=0.1,
    max_size_triangular=8192,
    momentum_into_precondition_update=True,
    weight_decay=0.0,
):
    """arXiv 2402.04553 for two axes, as in kron_torch; the probes are the rule's own, step by step."""
    from keras import ops

    from keras_dlopt.optimizers.executor.hashed_normal import normal

    if t == 1:
        state.update(m=0.0, q=[np.eye(n) for n in w.shape])
    state["m"] = momentum * state["m"] + (1 - momentum) * g
    m = state["m"] / (1 - momentum**t)
    fitted = m if momentum_into_precondition_update else g
    v = np.asarray(ops.convert_to_numpy(normal((1, *w.shape), t)), "float64")[0]
    left, right = state["q"]
    a = left @ (fitted + math.sqrt(1.2e-7) * np.mean(np.abs(fitted)) * v) @ right.T
    b = np.linalg.inv(left).T @ v @ np.linalg.inv(right)
    moved = []
    for q, x, y in ((left, a, b), (right, a.T, b.T)):
        plus, minus = x @ x.T, y @ y.T
        if len(q) > max_size_triangular:
            plus, minus = np.diag(np.diag(plus)), np.diag(np.diag(minus))
            norm = np.max(plus + minus)
        else:
            norm = norm_lower_bound(plus + minus)
        moved.append(q - preconditioner_learning_rate * np.triu(plus - minus) @ q / norm)
    left, right = state["q"] = moved
    u = left.T @ left @ m @ right.T @ right
    u = u * min(1, 1.1 / math.sqrt(np.mean(u**2)))
    return w - lr * weight_decay * w - lr * u


def norm_lower_bound(a):
    """The authors' bound of the spectral norm: two products with the longest column."""
    x = a @ a[:, np.argmax(np.sum(a**2, axis=0))]
    return np.linalg.norm(a @ x / np.linalg.norm(x))
