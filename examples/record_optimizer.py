"""What an optimizer does while it trains: `callbacks.RecordOptimizer`, here beside a schedule, read back and printed.

The numbers are taken inside the compiled step and shown by `tensorboard --logdir FOLDER`, tab "Optimizer":
learning rate, norm of the gradient, and how far an update moves the weights, over all and for each variable.

It printed:

    step    learning rate    gradient norm update / weights of logits/kernel
       0          0.00000          0.86940          0.00000          0.00000
      40          0.00963          0.71790          0.01275          0.01132
      80          0.00796          0.85716          0.00642          0.00539
     120          0.00541          0.61415          0.00307          0.00234
     160          0.00274          0.52281          0.00175          0.00158
     200          0.00074          0.55528          0.00051          0.00045
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tempfile

import keras
from sklearn.datasets import load_digits

import keras_dlopt as dlopt

x, y = load_digits(return_X_y=True)
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu", name="hidden"),
        keras.layers.Dense(10, name="logits"),
    ],
    name="digits",
)
model.compile(
    dlopt.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=8
)
folder = tempfile.mkdtemp()
model.fit(
    x[:1536] / 16,
    y[:1536],
    batch_size=32,
    epochs=5,
    verbose=0,
    callbacks=[dlopt.callbacks.WarmupCosine(0.01), dlopt.callbacks.RecordOptimizer(folder, every=40)],
)

run = dlopt.tensorboard.read(folder)["."]
kernel = run.variables.index("digits/logits/kernel")
columns = {
    "learning rate": run.globals("learning_rate"),
    "gradient norm": run.globals("gradient_norm"),
    "update / weights": run.globals("update_ratio"),
    "of logits/kernel": 10 ** run.stat("ratio")[:, kernel],
}
print("step", *(f"{name:>16}" for name in columns))
for row in zip(run.steps, *columns.values(), strict=True):
    print(f"{row[0]:>4}", *(f"{value:>16.5f}" for value in row[1:]))
