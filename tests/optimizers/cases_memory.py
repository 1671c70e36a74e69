"""What `keras_dlopt.optimizers.memory` is held against."""

CASES = []
