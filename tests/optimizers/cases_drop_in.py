"""What `keras_dlopt.optimizers.drop_in` is held against."""

from references import Case, from_keras

FTRL = {
    "learning_rate_power": -0.6,
    "initial_accumulator_value": 0.5,
    "l1_regularization_strength": 0.5,
    "l2_regularization_strength": 0.1,
    "l2_shrinkage_regularization_strength": 0.05,
    "beta": 0.1,
}

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
    Case("Nadam", from_keras("Nadam")),
    Case("Adagrad", from_keras("Adagrad")),
    Case("Adadelta", from_keras("Adadelta"), {"epsilon": 1e-2}),
    Case("Ftrl", from_keras("Ftrl")),
    Case("Ftrl", from_keras("Ftrl"), FTRL, "all"),
    Case("Lion", from_keras("Lion")),
    Case("Lamb", from_keras("Lamb")),
]
