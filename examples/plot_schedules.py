"""Draws every schedule of `dlopt.schedules` into one picture, docs/schedules.png unless another path is given.

    python examples/plot_schedules.py [PATH]

It printed:

    docs/schedules.png: 20 schedules over 1000 steps
"""

import sys

import keras_dlopt as dlopt
from keras_dlopt.schedules.plot import draw

STEPS = 1000

path = sys.argv[1] if len(sys.argv) > 1 else "docs/schedules.png"
examples = {name: row.example for name, row in dlopt.schedules.TABLE.items()}
draw(examples, STEPS, columns=4).savefig(path)
print(f"{path}: {len(examples)} schedules over {STEPS} steps")
