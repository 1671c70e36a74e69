"""Keras's own optimizers: its arguments, its defaults, its numbers; changing the import is all."""

from keras_dlopt.optimizers.drop_in.adadelta import Adadelta
from keras_dlopt.optimizers.drop_in.adagrad import Adagrad
from keras_dlopt.optimizers.drop_in.adam import Adam, AdamW
from keras_dlopt.optimizers.drop_in.adamax import Adamax
from keras_dlopt.optimizers.drop_in.ftrl import Ftrl
from keras_dlopt.optimizers.drop_in.lamb import Lamb
from keras_dlopt.optimizers.drop_in.lion import Lion
from keras_dlopt.optimizers.drop_in.nadam import Nadam
from keras_dlopt.optimizers.drop_in.rmsprop import RMSprop
from keras_dlopt.optimizers.drop_in.sgd import SGD
from keras_dlopt.optimizers.executor.row import Row

ROWS = (
    Row(SGD, "drop-in", "Polyak 1964", 0, "keras.optimizers.SGD"),
    Row(RMSprop, "drop-in", "Hinton 2012", 4, "keras.optimizers.RMSprop"),
    Row(Adam, "drop-in", "arXiv 1412.6980", 8, "keras.optimizers.Adam"),
    Row(AdamW, "drop-in", "arXiv 1711.05101", 8, "keras.optimizers.AdamW"),
    Row(Adamax, "drop-in", "arXiv 1412.6980", 8, "keras.optimizers.Adamax"),
    Row(Nadam, "drop-in", "Dozat 2016", 8, "keras.optimizers.Nadam"),
    Row(Adagrad, "drop-in", "Duchi et al. 2011", 4, "keras.optimizers.Adagrad"),
    Row(Adadelta, "drop-in", "arXiv 1212.5701", 8, "keras.optimizers.Adadelta"),
    Row(Ftrl, "drop-in", "McMahan et al. 2013", 8, "keras.optimizers.Ftrl"),
    Row(Lion, "drop-in", "arXiv 2302.06675", 4, "keras.optimizers.Lion"),
    Row(Lamb, "drop-in", "arXiv 1904.00962", 8, "keras.optimizers.Lamb"),
)

__all__ = [row.name for row in ROWS]
