"""What `keras_dlopt.optimizers.schedule_free` is held against."""

CASES = []
