"""The orthogonal factor of a matrix by matrix products alone."""

from keras import ops

# Polynomials of degree 5, each optimal for what the ones before it leave of the singular values in [0.001, 1]
# (arXiv 2505.16932, algorithm 1); all but the last are shrunk by the paper's factor against rounding above 1.
_SHRINK = 1.01
_OPTIMAL = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
_LIMIT = (1.875, -1.25, 0.375)

_ON_THE_GRAM_MATRIX = 5  # iterations, before rounding errors would show


def polar_express(steps):
    """The coefficients (a, b, c) of each of `steps` iterations of Polar Express, arXiv 2505.16932.

    Example:

    >>> [round(sum(abc), 3) for abc in polar_express(9)[-2:]]     # where they end, 1 stays 1
    [1.0, 1.0]
    """
    shrunk = [_shrink(abc) for abc in _OPTIMAL]
    shrunk[0] = _shrink(shrunk[0])  # the author divides by 1.01 times the norm
    return [*shrunk[:steps], *[_LIMIT] * (steps - len(shrunk))]


def _shrink(abc):
    """The polynomial at x / 1.01."""
    a, b, c = abc
    return a / _SHRINK, b / _SHRINK**3, c / _SHRINK**5


def orthogonalize(x, coefficients, dtype=None):
    r"""Brings the singular values of matrices near 1 and leaves their singular vectors.

    $$X_0 = X / \|X\|_F, \qquad X_{k+1} = a_k X_k + (b_k A + c_k A^2)\, X_k, \quad A = X_k X_k^\top$$

    Each iteration applies the odd polynomial $a\sigma + b\sigma^3 + c\sigma^5$ to every singular value. Tall matrices
    are transposed first, so that A is the smaller Gram matrix. For matrices 1.5 times as long as wide the iteration
    runs on A alone, which needs fewer products: all of X's factors are polynomials in the first A, and so

    $$P_k = a_k I + b_k A_k + c_k A_k^2, \qquad A_{k+1} = P_k A_k P_k, \qquad X_5 = (P_4 P_3 P_2 P_1 P_0)\, X_0$$

    Its rounding errors are larger, about 2e-4 of the result in float32 where the singular values differ by 10^4, and
    it starts anew from X after five steps; with a `dtype` it is not used.

    Args:
        x: matrices, (..., rows, columns).
        coefficients: (a, b, c) of each iteration.
        dtype: what the products are computed in, such as "bfloat16"; `None` keeps `x`'s.

    Returns:
        Matrices of the shape and dtype of `x`.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.

    Example:

    >>> import keras
    >>> x = keras.ops.array([[3.0, 0.0], [0.0, -0.5]])
    >>> keras.ops.convert_to_numpy(orthogonalize(x, polar_express(9))).round(3) + 0.0
    array([[ 1.,  0.],
           [ 0., -1.]], dtype=float32)
    """
    tall = x.shape[-2] > x.shape[-1]
    y = ops.swapaxes(x, -1, -2) if tall else x
    y = y / (ops.sqrt(ops.sum(ops.square(y), axis=(-2, -1), keepdims=True)) + 1e-7)
    if dtype is not None:
        y = ops.cast(y, dtype)
    if dtype is None and 2 * y.shape[-1] >= 3 * y.shape[-2]:
        for start in range(0, len(coefficients), _ON_THE_GRAM_MATRIX):
            y = _product(y, coefficients[start : start + _ON_THE_GRAM_MATRIX]) @ y
        coefficients = ()
    for a, b, c in coefficients:
        gram = y @ ops.swapaxes(y, -1, -2)
        y = a * y + (b * gram + c * (gram @ gram)) @ y
    y = ops.cast(y, x.dtype)
    return ops.swapaxes(y, -1, -2) if tall else y


def _product(x, coefficients):
    """What the iterations multiply `x` with from the left, altogether."""
    gram, eye = x @ ops.swapaxes(x, -1, -2), ops.eye(x.shape[-2], dtype=x.dtype)
    factor = product = None
    for a, b, c in coefficients:
        if product is not None:
            gram = factor @ gram @ factor
        factor = a * eye + b * gram + c * (gram @ gram)
        product = factor if product is None else factor @ product
    return product
