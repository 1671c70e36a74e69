"""How slots are laid out over the devices of a `keras.distribution` (JAX backend)."""

import keras


def slot_layout(reference, shape, shard_state):
    """The layout of a slot, or `None` for the distribution's own choice.

    A slot of the variable's shape lies as the variable does. With `shard_state`, an axis that is whole there is split
    over the data-parallel devices besides, the first that divides evenly: each of them keeps and updates its part of
    the state, and XLA gathers the updates (ZeRO stage 1, arXiv 1910.02054).

    Args:
        reference: the variable that the slot belongs to.
        shape: shape of the slot.
        shard_state: whether to split it.
    """
    layout = getattr(reference, "_layout", None)
    axes = list(getattr(layout, "axes", ())) if shape == tuple(reference.shape) else []
    axes += [None] * (len(shape) - len(axes))
    if shard_state:
        distribution = keras.distribution.distribution()
        data_axis = distribution.batch_dim_name
        mesh = distribution.device_mesh
        devices = mesh.shape[mesh.axis_names.index(data_axis)]
        whole = [i for i, size in enumerate(shape) if axes[i] is None and size % devices == 0 and size > 0]
        if whole and data_axis not in axes:
            axes[whole[0]] = data_axis
            return keras.distribution.TensorLayout(axes, mesh)
    return layout if shape == tuple(reference.shape) else None


def check_can_shard(where):
    """Raises `ValueError` unless state can be spread over devices here."""
    if keras.backend.backend() != "jax":
        raise ValueError(f"`{where}(shard_state=True)` needs Keras on JAX, not on {keras.backend.backend()}.")
    if keras.distribution.distribution() is None:
        raise ValueError(
            f"`{where}(shard_state=True)` needs devices to spread the state over: call "
            "`keras.distribution.set_distribution(keras.distribution.DataParallel())` before the model is made."
        )
