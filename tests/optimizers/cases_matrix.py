"""What `keras_dlopt.optimizers.matrix` is held against."""

CASES = []
