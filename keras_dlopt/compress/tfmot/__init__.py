"""Real tfmot at work on Keras 3 models: across the bridge, trained by Keras 3's `fit`, and back."""

from keras_dlopt.compress.tfmot.clustering import Clustered, cluster
from keras_dlopt.compress.tfmot.package import load
from keras_dlopt.compress.tfmot.pruning import prune
from keras_dlopt.compress.tfmot.quantization import Quantized, quantize_aware
from keras_dlopt.compress.tfmot.wrapped import Wrapped

__all__ = ["Clustered", "Quantized", "Wrapped", "cluster", "load", "prune", "quantize_aware"]
