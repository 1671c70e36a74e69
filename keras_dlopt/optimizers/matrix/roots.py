"""Inverse p-th roots of symmetric positive matrices by matrix products alone."""

from keras import ops

_STEPS = 100
_NEAR = 1e-4  # the iteration squares the error: one step from here is exact in float32


def inverse_root(a, p, epsilon):
    r"""$(A + \epsilon \|A\|_F I)^{-1/p}$ of symmetric positive semidefinite matrices.

    The coupled Newton iteration of Guo and Higham, which distributed Shampoo runs on accelerators:

    $$T_k = \frac{(p + 1) I - M_k}{p}, \qquad M_{k+1} = T_k^p M_k, \qquad X_{k+1} = X_k T_k$$

    from $M_0 = z A$ and $X_0 = z^{1/p} I$ with $z = (p + 1) / (2\|A\|_F)$. M goes to I and X to the root, in about
    $\log(1/\epsilon) / (p \log(1 + 1/p))$ steps; unlike an eigendecomposition it is matrix products only.

    Args:
        a: matrices, (..., n, n).
        p: which root, >= 1.
        epsilon: ridge relative to the Frobenius norm, which is at least the largest eigenvalue. In float32, 1e-6
            gives three correct digits.

    Returns:
        The roots, (..., n, n). Of a matrix of zeros: the identity, times `epsilon ** (-1 / p)`.

    Source: Guo and Higham 2006, https://doi.org/10.1137/050643374; arXiv 2002.09018.

    Example:

    >>> import keras
    >>> keras.ops.convert_to_numpy(inverse_root(keras.ops.array([[16.0, 0.0], [0.0, 81.0]]), 4, 1e-9)).round(3)
    array([[0.5  , 0.   ],
           [0.   , 0.333]], dtype=float32)
    """
    eye = ops.eye(a.shape[-1], dtype=a.dtype)
    norm = ops.sqrt(ops.sum(ops.square(a), axis=(-2, -1), keepdims=True))
    norm = ops.where(norm > 0, norm, ops.ones_like(norm))
    m = a / norm + epsilon * eye  # of norm 1, up to the ridge
    z = (p + 1) / (2 * ops.sqrt(ops.sum(ops.square(m), axis=(-2, -1), keepdims=True)))
    m = z * m
    x = ops.power(z / norm, 1 / p) * eye

    def far(step, m, x):
        return ops.max(ops.abs(m - eye)) > _NEAR

    def iterate(step, m, x):
        factor = ((p + 1) * eye - m) / p
        return step + 1, _power(factor, p) @ m, x @ factor

    _, m, x = ops.while_loop(far, iterate, (ops.zeros((), "int32"), m, x), maximum_iterations=_STEPS)
    return x @ (((p + 1) * eye - m) / p)


def _power(a, p):
    """a multiplied p times with itself, in about log2(p) products."""
    if p == 1:
        return a
    half = _power(a, p // 2)
    return half @ half @ a if p % 2 else half @ half
