"""The bases of eigenvectors that SOAP turns gradients into, without an eigendecomposition in every refresh."""

from keras import ops

_NOISE = 1e-5  # of the largest eigenvalue: below it, float32 does not know the eigenvectors


def transpose(x):
    """Matrices with rows and columns exchanged."""
    return ops.swapaxes(x, -1, -2)


def first_bases(g, longest):
    """Eigenvectors of `g g^T` and of `g^T g`, largest eigenvalue first.

    One eigendecomposition, of the smaller of the two; the other basis is the singular vectors that belong to the
    same singular values, completed to a square matrix by a QR decomposition.

    Args:
        g: matrices, (..., rows, columns).
        longest: a side that is longer gets no basis.

    Returns:
        Orthonormal matrices (..., rows, rows) and (..., columns, columns), or `None`.
    """
    if g.shape[-2] > g.shape[-1]:
        right, left = first_bases(transpose(g), longest)
        return left, right
    if g.shape[-2] > longest:
        return None, None
    values, left = ops.eigh(g @ transpose(g))
    values, left = ops.flip(values, axis=-1), ops.flip(left, axis=-1)
    # Where eigenvalues are 0, rounding would choose the vectors, on two devices others than on one; QR completes alike.
    left = ops.where(ops.expand_dims(values > _NOISE * values[..., :1], -2), left, ops.zeros_like(left))
    right = None if g.shape[-1] > longest else ops.qr(transpose(g) @ left, mode="complete")[0]
    return ops.qr(left)[0], right


def refreshed(gram, basis):
    """One step of orthogonal iteration from `basis` towards the eigenvectors of `gram`.

    Args:
        gram: symmetric matrices, (..., n, n).
        basis: their approximate eigenvectors as columns, (..., n, n).

    Returns:
        The new basis, and the order that was given to the columns of the old one first: by estimated eigenvalue,
        largest first, (..., n).
    """
    product = gram @ basis
    order = ops.argsort(-ops.sum(basis * product, axis=-2), axis=-1)
    basis, _ = ops.qr(ordered(product, order, axis=-1))
    return basis, order


def ordered(matrices, order, axis):
    """Rows (axis -2) or columns (axis -1) of each matrix in the order given for it, (..., n)."""
    return ops.take_along_axis(matrices, ops.expand_dims(order, -2 if axis == -1 else -1), axis=axis)
