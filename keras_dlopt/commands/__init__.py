"""The commands of `keras-dlopt`, one file each; in the order of `keras-dlopt --help`."""

# isort: off
from keras_dlopt.commands import demo, recipe, optimizers, compress, preflight, tpu, launch  # noqa: F401
