"""What `keras_dlopt.optimizers.drop_in` is held against."""

from references import Case, from_keras

CASES = [
    Case("SGD", from_keras("SGD")),
    Case("SGD", from_keras("SGD"), {"momentum": 0.9}, "momentum"),
    Case("SGD", from_keras("SGD"), {"momentum": 0.9, "nesterov": True}, "nesterov"),
    Case("RMSprop", from_keras("RMSprop")),
    Case("RMSprop", from_keras("RMSprop"), {"momentum": 0.9, "centered": True, "epsilon": 1e-3}, "centered"),
    Case("Adam", from_keras("Adam")),
    Case("Adam", from_keras("Adam"), {"amsgrad": True, "beta_1": 0.8}, "amsgrad"),
    Case("AdamW", from_keras("AdamW")),
    Case("Adamax", from_keras("Adamax")),
    Case("Adagrad", from_keras("Adagrad")),
    Case("Adadelta", from_keras("Adadelta"), {"epsilon": 1e-2}),
    Case("Lion", from_keras("Lion")),
]
