"""Ill-conditioned tasks whose optimum is known; weights have about 0.1 to go, as they do in networks."""

import numpy as np
from keras import layers, ops

from convergence.tasks.task import Task


class Weights(layers.Layer):
    """A weight and nothing else."""

    def __init__(self, shape):
        super().__init__(name="weights")
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.built = True


def rotation(generator, size):
    return np.linalg.qr(generator.normal(size=(size, size)))[0]


def symmetric(generator, eigenvalues):
    """A matrix of these eigenvalues, with random eigenvectors."""
    turn = rotation(generator, len(eigenvalues))
    return ops.convert_to_tensor(((turn * eigenvalues) @ turn.T).astype("float32"))


def quadratic(dimensions=100, condition=1e4, distance=0.1, noise=0.01):
    """A rotated quadratic whose gradient is taken at noisy places around the weights."""
    hessian = symmetric(np.random.default_rng(0), np.geomspace(1 / condition, 1.0, dimensions))

    def value(model, shift=-distance):
        w = model.kernel + shift
        return 0.5 * ops.sum(w * ops.matmul(hessian, w))

    def loss(model, batch):
        return value(model, batch[0] - distance)

    def batches(generator, steps):
        return (noise * generator.normal(size=(steps, dimensions, 1)).astype("float32"),)

    return Task(
        measure="loss above the minimum",
        steps=400,
        model=lambda: Weights((dimensions, 1)),
        loss=loss,
        batches=batches,
        values={"validation": value, "test": value},
    )


def matrix(size=64, condition=1e3, distance=0.1, batch_size=128):
    """Linear regression onto a matrix, from inputs with a condition number of 1000 (their covariance: a million)."""
    generator = np.random.default_rng(0)
    root = symmetric(generator, np.geomspace(1 / condition, 1.0, size))
    truth = ops.convert_to_tensor((distance * generator.normal(size=(size, size))).astype("float32"))

    def value(model):
        return 0.5 * ops.sum(ops.square(ops.matmul(root, model.kernel - truth)))

    def loss(model, batch):
        inputs = ops.matmul(batch[0], root)
        return 0.5 * ops.sum(ops.square(ops.matmul(inputs, model.kernel - truth))) / batch_size

    def batches(generator, steps):
        return (generator.normal(size=(steps, batch_size, size)).astype("float32"),)

    return Task(
        measure="loss above the minimum",
        steps=400,
        model=lambda: Weights((size, size)),
        loss=loss,
        batches=batches,
        values={"validation": value, "test": value},
    )
