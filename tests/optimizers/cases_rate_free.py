"""What `keras_dlopt.optimizers.rate_free` is held against."""

CASES = []
