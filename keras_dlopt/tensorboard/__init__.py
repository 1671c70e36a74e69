"""What an optimizer did: recorded by `callbacks.RecordOptimizer`, shown by TensorBoard's tab "Optimizer".

`read` gives the same data as arrays, `plot` the same pictures as files. Nothing here loads TensorFlow or Keras until a
model is recorded, so that `tensorboard` starts without them.
"""

from keras_dlopt.tensorboard.pictures import plot
from keras_dlopt.tensorboard.records import Run, read

__all__ = ["Run", "plot", "read"]
