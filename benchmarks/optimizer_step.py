"""First call and step time of the optimizers, side by side with their peers.

    python benchmarks/optimizer_step.py [--rounds 3] [--out benchmarks/optimizer_step.md]

Every measurement is a process of its own: the optimizer's `apply` on given gradients inside one compiled function
(`tf.function`, `jax.jit` with donated state, torch's own step). Peers take turns within a round, so that a slow spell
of the machine meets all of them; quoted are medians over the rounds and the spread of the ratio to Keras's optimizer.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

PEERS = {
    "keras": ("tensorflow", False),
    "keras jit": ("tensorflow", True),
    "keras_dlopt": ("tensorflow", False),
    "keras_dlopt jit": ("tensorflow", True),
    "optax jit": ("jax", True),
    "torch foreach": ("torch", False),
    "torch fused": ("torch", False),
}
CASES = {  # which variables -> which optimizers are compared on them
    "small": ("Adam", "AdamW", "Lion", "Lamb"),
    "resnet50": ("Adam",),
    "transformer": ("AdamW", "Muon"),
    "large": ("Adam", "AdamW", "Lion", "Lamb"),
}
STEPS = 60


def model_of(case):
    """The Keras model whose variables are those of the case, or `None`."""
    import keras
    from keras import layers

    if case == "resnet50":
        return keras.applications.ResNet50(weights=None)
    if case != "transformer":
        return None
    x = inputs = keras.Input((16,), dtype="int32")  # 12 layers of width 256, 9.7 M parameters
    x = layers.Embedding(1000, 256)(x)
    for _ in range(12):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(8, 32)(y, y)])
        y = layers.Dense(1024, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(256)(y)])
    return keras.Model(inputs, layers.Dense(1000)(x))


def shapes_of(case):
    if case == "small":  # 500 variables, 1.04 M parameters
        return [(64, 64), (64,)] * 250
    if case == "large":  # 6 variables, 25 M parameters
        return [(2048, 2048)] * 6
    return [tuple(v.shape) for v in model_of(case).trainable_variables]


def random_arrays(shapes):
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def time_calls(call):
    """Seconds of the first call, and of the median later one; `call` returns when the work is done."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    later = []
    for _ in range(STEPS):
        start = time.perf_counter()
        call()
        later.append(time.perf_counter() - start)
    return {"first": first, "step": statistics.median(later), "mean": statistics.mean(later)}


def measure_keras(module, name, jit, case):
    import keras
    import tensorflow as tf

    import keras_dlopt

    source = keras.optimizers if module == "keras" else keras_dlopt.optimizers
    model = model_of(case)
    weights = model.trainable_variables if model else [keras.Variable(w) for w in random_arrays(shapes_of(case))]
    gradients = [tf.constant(g) for g in random_arrays([tuple(w.shape) for w in weights])]
    optimizer = getattr(source, name)(learning_rate=1e-3)
    optimizer.build(weights)
    step = tf.function(lambda: optimizer.apply(gradients, weights), jit_compile=jit)

    def call():
        step()
        return int(optimizer.iterations)

    return time_calls(call)


def measure_optax(name, shapes):
    import jax
    import optax
    import optax.contrib

    weights, gradients = ([jax.numpy.asarray(a) for a in random_arrays(shapes)] for _ in range(2))
    rule = getattr(optax, name.lower(), None) or getattr(optax.contrib, name.lower())
    rule = rule(1e-3)
    state = rule.init(weights)

    def step(weights, state, gradients):
        updates, state = rule.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))

    def call():
        nonlocal weights, state
        weights, state = jax.block_until_ready(step(weights, state, gradients))

    return time_calls(call)


def measure_torch(name, shapes, **kwargs):
    import torch

    weights = [torch.nn.Parameter(torch.tensor(w)) for w in random_arrays(shapes)]
    if name == "Muon":  # torch's takes matrices only
        weights = [weight for weight in weights if weight.ndim == 2]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    return time_calls(getattr(torch.optim, name)(weights, lr=1e-3, **kwargs).step)


def measure(peer, name, case):
    if peer.startswith("optax"):
        return measure_optax(name, shapes_of(case))
    if peer.startswith("torch"):
        return measure_torch(name, shapes_of(case), **({} if name == "Muon" else {peer.split()[1]: True}))
    return measure_keras(peer.split()[0], name, PEERS[peer][1], case)


def in_process(peer, name, case):
    """`measure` in a fresh interpreter; `None` where the peer does not have the optimizer."""
    env = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, __file__, "--measure", peer, name, case]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        if "has no attribute" in done.stderr:
            return None
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def table(case, name, results):
    """Rows of a Markdown table: medians, and ratios to Keras's (with and without jit) as median (lowest-highest)."""
    lines = [
        f"\n### {name}, {case}\n",
        "| | first call, s | Keras / this | step, ms | Keras / this |",
        "|---|---|---|---|---|",
    ]
    for peer, rounds in results.items():
        rounds = [r for r in rounds if r]
        if not rounds:
            continue
        base = results["keras jit" if PEERS[peer][1] else "keras"]
        cells = [peer]
        for key, scale in (("first", 1), ("step", 1000)):
            ratios = sorted(b[key] / r[key] for b, r in zip(base, rounds, strict=True))
            cells.append(f"{scale * statistics.median(r[key] for r in rounds):.2f}")
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def amortised_table(rounds):
    """Mean step of the matrix rules, what they do every k-th step included, beside AdamW's: same variables, jit."""
    results = {name: [] for name in ("AdamW", "Muon", "NorMuon", "SOAP", "Shampoo", "Kron")}
    for _ in range(rounds):
        for name in results:
            results[name].append(in_process("keras_dlopt jit", name, "transformer"))
    lines = [
        "\n### Matrix rules, transformer, jit: mean step\n",
        "| | first call, s | step, ms | this / AdamW |",
        "|---|---|---|---|",
    ]
    for name, own in results.items():
        ratios = sorted(r["mean"] / a["mean"] for r, a in zip(own, results["AdamW"], strict=True))
        first, mean = (statistics.median(r[key] for r in own) for key in ("first", "mean"))
        lines.append(
            f"| {name} | {first:.2f} | {1000 * mean:.2f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) |"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--optimizers", nargs="+", help="these only")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--amortised", action="store_true", help="add what the matrix rules cost beside AdamW")
    parser.add_argument("--out", help="Markdown file to write")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    packages = ", ".join(f"{p} {version(p)}" for p in ("tensorflow", "keras", "jax", "optax", "torch"))
    lines = [
        "# Optimizer step: first call and later ones",
        "",
        f"`python benchmarks/optimizer_step.py`: {os.cpu_count()} cores ({platform.machine()}), {packages}, float32; "
        f"medians of {arguments.rounds} processes each, ratios to Keras's optimizer under the same compilation as "
        "median (lowest-highest): above 1 is sooner or faster than Keras.",
    ]
    for case in arguments.cases:
        for name in CASES[case]:
            if name not in (arguments.optimizers or CASES[case]):
                continue
            results = {peer: [] for peer in arguments.peers}
            for _ in range(arguments.rounds):
                for peer in arguments.peers:
                    results[peer].append(in_process(peer, name, case))
            lines += table(case, name, results)
            print("\n".join(lines[-len(results) - 3 :]), flush=True)
            write(lines, arguments.out)
    if arguments.amortised:
        lines += amortised_table(arguments.rounds)
        print("\n".join(lines[-8:]), flush=True)
        write(lines, arguments.out)


def write(lines, path):
    if path:
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
