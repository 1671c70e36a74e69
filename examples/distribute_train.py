"""One script for a laptop, GPUs, a TPU and several machines: only how it is started differs.

    python examples/distribute_train.py                                         # what this machine has
    KERAS_DLOPT_STRATEGY=cpu python examples/distribute_train.py                # the CPU, though there is a GPU
    KERAS_BACKEND=jax python examples/distribute_train.py                       # Keras on JAX
    keras-dlopt launch --workers 2 examples/distribute_train.py                 # two workers on this machine
    sbatch examples/distribute_slurm.sbatch                                     # Slurm
    kubectl apply -f examples/distribute_jobset.yaml                            # Kubernetes
    python examples/distribute_ray.py                                           # Ray Train

It trains on scikit-learn's digits. A run that was killed goes on where it was when it is started again. Two workers
printed, under `launch` and under Ray the same numbers:

    [0] scale: batch 32 x 2 replicas = 64; learning rate 0.002 x 1.414 (sqrt, arXiv 1404.5997) = 0.002828, after a
        warm-up of 20 steps from 0.002
    [0] Epoch 3/3
    [0] 23/23 - accuracy: 0.9620 - loss: 0.1469 - val_accuracy: 0.8828 - val_loss: 0.3949
    [0] strategy            MultiWorkerMirroredStrategy, 2 workers, 2 replicas: KERAS_DLOPT_STRATEGY=multi_worker; ...
"""

import argparse

import keras
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits

from keras_dlopt import distribute, optimizers


def main(config=None):
    """Trains; `config` may hold `epochs` and `folder`, where the state of an unfinished run is kept."""
    config = {"epochs": 5, "folder": "runs/distribute"} | (config or {})
    strategy = distribute.strategy()
    batch, learning_rate = distribute.scale(32, 2e-3, rule="sqrt", warmup=20)

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    train = tf.data.Dataset.from_tensor_slices((images[:1500], labels[:1500])).shuffle(1500, seed=0)
    train = distribute.dataset(train, batch)
    held_out = distribute.dataset(tf.data.Dataset.from_tensor_slices((images[1500:], labels[1500:])), batch)

    with strategy.scope():
        model = keras.Sequential(
            [
                layers.Input((64,)),
                layers.Dense(128, activation="relu"),
                layers.Dense(128, activation="relu"),
                layers.Dense(10, dtype="float32"),
            ]
        )
        model.compile(
            optimizers.Adam(learning_rate, weight_decay=1e-2),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=distribute.steps_per_execution(len(train)),
        )
    backup = keras.callbacks.BackupAndRestore(config["folder"], double_checkpoint=True)
    verbose = 2 if distribute.is_chief() else 0
    history = model.fit(
        train, validation_data=held_out, epochs=config["epochs"], callbacks=[backup], shuffle=False, verbose=verbose
    )
    distribute.describe()
    return history.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", default="runs/distribute", help="where the state of an unfinished run is kept")
    main(vars(parser.parse_args()))
