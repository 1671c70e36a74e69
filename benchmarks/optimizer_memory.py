"""Memory of optimizers: bytes of state, and peak resident memory of a step of 100 million parameters.

    python benchmarks/optimizer_memory.py [--rounds 3] [--out benchmarks/optimizer_memory.md]

Every measurement is a process of its own. It makes six weights of 4096 x 4096 and their gradients, notes its resident
memory, builds the optimizer, makes five steps in one compiled function and reads the largest resident memory so far
from the operating system: the difference is what the optimizer takes, its state and all that a step needs in between.
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

SHAPES, STEPS = [(4096, 4096)] * 6, 5
PARAMETERS = sum(rows * columns for rows, columns in SHAPES)

CASES = {
    "Keras Adam": ("keras", "Adam", {}),
    "Adam": ("keras_dlopt", "Adam", {}),
    "Adam, bfloat16": ("keras_dlopt", "Adam", {"state_dtype": "bfloat16"}),
    "Adam, int8": ("keras_dlopt", "Adam", {"state_dtype": "int8"}),
    "Keras Lion": ("keras", "Lion", {}),
    "Lion": ("keras_dlopt", "Lion", {}),
    "Lion, int8": ("keras_dlopt", "Lion", {"state_dtype": "int8"}),
    "Keras Adafactor": ("keras", "Adafactor", {}),
    "Adafactor": ("keras_dlopt", "Adafactor", {}),
    "torch Adam": ("torch", "Adam", {"foreach": False}),
    "torch Adam, fused": ("torch", "Adam", {"fused": True}),
}


def resident(field):
    """`VmRSS`, the resident memory of this process, or `VmHWM`, its maximum; bytes."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return 1024 * int(line.split()[1])


def reset_peak():
    """Lets `VmHWM` start again from the memory of now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def measure_keras(module, name, jit, arguments):
    import keras
    import tensorflow as tf

    import keras_dlopt

    source = keras.optimizers if module == "keras" else keras_dlopt.optimizers
    weights = [keras.Variable(tf.random.stateless_normal(shape, (0, i))) for i, shape in enumerate(SHAPES)]
    gradients = [tf.random.stateless_normal(shape, (1, i)) for i, shape in enumerate(SHAPES)]
    optimizer = getattr(source, name)(learning_rate=1e-3, **arguments)
    common = len(optimizer.variables)
    # The gradients are arguments, as in training: a compiler would make copies of constants.
    step = tf.function(lambda *gradients: optimizer.apply(gradients, weights), jit_compile=jit, autograph=False)
    reset_peak()
    before = resident("VmRSS")
    optimizer.build(weights)
    state = sum(v.numpy().nbytes for v in optimizer.variables[common:])
    reset_peak()
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step(*gradients)
        int(optimizer.iterations)
        seconds.append(time.perf_counter() - start)
    return {"state": state, "peak": resident("VmHWM") - before, "step": min(seconds[1:])}


def measure_torch(name, arguments):
    import torch

    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = getattr(torch.optim, name)(weights, lr=1e-3, **arguments)
    reset_peak()
    before = resident("VmRSS")
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    state = sum(t.nbytes for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t))
    return {"state": state, "peak": resident("VmHWM") - before, "step": min(seconds[1:])}


def measure(case, jit):
    module, name, arguments = CASES[case]
    return measure_torch(name, arguments) if module == "torch" else measure_keras(module, name, jit, arguments)


def in_process(case, jit):
    """`measure` in a fresh interpreter."""
    env = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, __file__, "--measure", case, *(["jit"] if jit else [])]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(title, results):
    lines = [
        f"\n### {title}\n",
        "| | state, bytes a parameter | peak, bytes a parameter | step, ms |",
        "|---|---|---|---|",
    ]
    for case, rounds in results.items():
        state = rounds[0]["state"] / PARAMETERS
        peak = spread([r["peak"] / PARAMETERS for r in rounds], 2)
        lines.append(f"| {case} | {state:.4g} | {peak} | {spread([1000 * r['step'] for r in rounds], 0)} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--out", help="Markdown file to write")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure[0], "jit" in arguments.measure)))
        return
    packages = ", ".join(f"{p} {version(p)}" for p in ("tensorflow", "keras", "torch"))
    lines = [
        "# Optimizer memory: state, and the peak of a step",
        "",
        f"`python benchmarks/optimizer_memory.py`: {PARAMETERS / 1e6:.0f} M parameters in {len(SHAPES)} matrices, "
        f"{os.cpu_count()} cores ({platform.machine()}), {packages}; medians (lowest-highest) of {arguments.rounds} "
        "processes. The peak is resident memory above that of the weights and gradients alone: state, and what a step "
        "needs in between.",
    ]
    for title, jit in (("tf.function, and torch", False), ("tf.function with jit_compile", True)):
        cases = [case for case in arguments.cases if not (jit and case.startswith("torch"))]
        results = {case: [] for case in cases}
        for _ in range(arguments.rounds):
            for case in cases:
                results[case].append(in_process(case, jit))
        lines += table(title, results)
        print("\n".join(lines[-len(cases) - 3 :]), flush=True)
    if arguments.out:
        with open(arguments.out, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
