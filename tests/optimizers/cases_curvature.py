"""What `keras_dlopt.optimizers.curvature` is held against."""

CASES = []
