"""Gradients of matrices seen through a few directions of their shorter side."""

import zlib

from keras import ops

from keras_dlopt.optimizers.executor.hashed_normal import normal
from keras_dlopt.optimizers.matrix.eigenbasis import transpose


def is_tall(shape):
    """Whether the columns are the short side of a matrix (..., rows, columns), as they are of a square one."""
    return shape[-2] >= shape[-1]


def projection_shape(shape, rank):
    """The shape of a projection for a matrix of `shape`: its short side, and `rank` or that side if it is shorter."""
    return min(shape), min(rank, *shape)


def projected_shape(shape, rank):
    """The shape of a matrix of `shape` after projection: the long side stays."""
    rank = min(rank, *shape)
    return (shape[0], rank) if is_tall(shape) else (rank, shape[1])


def project(g, p):
    """G P, or P^T G where the rows are the short side, of matrices (..., rows, columns)."""
    return g @ p if is_tall(g.shape) else transpose(p) @ g


def project_back(x, p, shape):
    """Matrices of `shape` in the span of P, from what `project` made of such."""
    return x @ transpose(p) if is_tall(shape) else p @ x


def leading_directions(g, rank):
    """The first `rank` singular vectors of the short side, largest singular value first, (..., short, rank).

    As the eigenvectors of the smaller Gram matrix, which XLA compiles for every device, TPUs too, and which costs less
    than an SVD. In float32 they are exact for singular values above about 1e-3 of the largest. Infinities and NaN
    count as 0: TensorFlow's eigendecomposition would raise an error, also in a step that is to be skipped.
    """
    size = ops.max(ops.abs(g), axis=(-2, -1), keepdims=True)
    g = ops.nan_to_num(g / ops.where(size > 0, size, ops.ones_like(size)))  # whose squares neither over- nor underflow
    _, vectors = ops.eigh(transpose(g) @ g if is_tall(g.shape) else g @ transpose(g))
    return ops.flip(vectors, axis=-1)[..., : min(rank, vectors.shape[-1])]


def aligned(p, old):
    """`p` with each column turned to the side that its predecessor in `old` pointed to.

    A singular vector's sign is arbitrary, but moments that were averaged along the old one are not.
    """
    return p * ops.where(ops.sum(p * old, axis=-2, keepdims=True) < 0, -1.0, 1.0)


def random_projection(shape, dtype, seed, step):
    """Independent normal numbers of variance 1 / rank, a function of shape, seed and step: nothing to store.

    Args:
        shape: (..., short, rank).
        dtype: floating point type.
        seed: a whole number.
        step: a scalar tensor.
    """
    key = zlib.crc32(repr((seed, *shape)).encode())
    return ops.cast(normal(shape, step, key), dtype) / shape[-1] ** 0.5
