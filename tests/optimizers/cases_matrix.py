"""What `keras_dlopt.optimizers.matrix` is held against."""

from references import Case
from references_matrix import (
    kron,
    muon,
    muon_polar_express,
    normuon,
    optax_muon,
    shampoo,
    soap,
    with_adamw,
)

AUTHOR = {"momentum": 0.9, "nesterov": False, "rms_rate": None, "exclude_head": False}
BLOCKS = {"block_size": 4, "graft": "sgd", "root_order": 2, "precondition_frequency": 3}
MOMENTA = {"momentum_into_precondition_update": False, "max_size_triangular": 8, "exclude_head": False}
SOAP_ADAM = {"beta_1": 0.95, "beta_2": 0.95, "epsilon": 1e-8}

CASES = [
    Case("Muon", with_adamw(muon)),
    Case("Muon", optax_muon, AUTHOR, "author"),
    Case("Muon", with_adamw(muon_polar_express), {"polar_express": True}, "polar_express"),
    Case("NorMuon", with_adamw(normuon)),
    Case("NorMuon", with_adamw(normuon), {"rms_rate": None, "adam_beta_1": 0.8}, "author"),
    Case("Shampoo", with_adamw(shampoo, epsilon=1e-8)),
    Case("Shampoo", with_adamw(shampoo, epsilon=1e-8), BLOCKS, "blocks"),
    Case("SOAP", with_adamw(soap, **SOAP_ADAM)),
    Case("SOAP", with_adamw(soap, **SOAP_ADAM), {"max_precondition_dim": 4, "shampoo_beta": 0.9}, "narrow"),
    Case("Kron", with_adamw(kron)),
    Case("Kron", with_adamw(kron), MOMENTA, "diagonal"),
]
