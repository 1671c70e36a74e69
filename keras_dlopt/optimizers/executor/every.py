"""Costly work done at every k-th step only."""

from keras import ops


def every(k, t, compute, keep):
    """`compute()` at the steps t = 1, k + 1, 2k + 1, ..., and `keep` at the others.

    Args:
        k: the period in steps, >= 1.
        t: the step, a scalar tensor, 1 at the first one.
        compute: a pure function without arguments.
        keep: what it returned last: the same nested structure of tensors, of the same shapes and dtypes.
    """
    if k == 1:
        return compute()
    return ops.cond(ops.equal(ops.mod(t - 1, k), 0), compute, lambda: keep)
