"""What `keras_dlopt.optimizers.first_order` is held against."""

import references_first_order as of
from references import Case, from_keras, from_optax, from_torch
from references_first_order import from_transformation, written_out

# Short enough for resets, warm-ups and spikes within the steps of a trajectory.
SPAM = {"reset_every": 50, "warmup": 15, "settle": 10, "threshold": 50.0}

# A bound within the losses of the trajectory: some steps are as long as allowed, some shorter, some 0.
POLYAK = {"f_min": 180.0}

ADAPNM = from_torch("pytorch_optimizer", "AdaPNM", foreach=False)
RAW_ADAPNM = from_torch("pytorch_optimizer", "AdaPNM", foreach=False, ams_bound=False)

CASES = [
    Case("GradientDescent", from_keras("SGD")),
    Case("PolyakSGD", of.polyak_sgd, POLYAK),
    Case("PolyakSGD", of.polyak_sgd, POLYAK | {"epsilon": 500.0}, "epsilon"),
    Case("MoMo", of.momo, POLYAK),
    Case("MoMo", of.momo, POLYAK | {"beta_1": 0.5, "adapt_f_min": True}, "adapting"),
    Case("Signum", from_transformation(of.signum)),
    Case("Signum", from_transformation(of.signum), {"beta_1": 0.0}, "without momentum"),
    # At its default momentum one sign of 72,000 hangs on the last bit of the learning rate.
    Case("Tiger", written_out(of.tiger), {"beta_1": 0.95}),
    Case("LARS", written_out(of.lars), {"trust_coefficient": 0.5}),
    Case("NovoGrad", from_transformation(of.novograd)),
    Case("NAdamW", from_transformation(of.nadamw)),
    Case("RAdam", from_torch("torch.optim", "RAdam", decoupled_weight_decay=True)),
    Case("Yogi", from_optax("scale_by_yogi", b2=0.999, eps=1e-3)),
    Case("AdaBelief", from_optax("scale_by_belief")),
    Case("Adan", from_torch("pytorch_optimizer", "Adan", foreach=False)),
    Case("ADOPT", from_optax("scale_by_adopt")),
    Case("AdEMAMix", from_optax("scale_by_ademamix", alpha=5.0), {"beta_3": 0.99}),
    Case("MARS", of.mars, {"gamma": 0.2, "epsilon": 1e-12}),  # which is added at another place there
    Case("StableAdamW", from_torch("pytorch_optimizer", "StableAdamW", foreach=False)),
    Case("AdaPNM", ADAPNM, {"epsilon": 1e-12}),  # which is added before debiasing there
    Case("AdaPNM", RAW_ADAPNM, {"amsgrad": False, "epsilon": 1e-12}, "raw"),
    Case("Amos", written_out(of.amos)),
    Case("Amos", written_out(of.amos), {"momentum": 0.9}, "momentum"),
    Case("SPAM", written_out(of.spam), SPAM),
    Case("MADGRAD", from_torch("pytorch_optimizer", "MADGRAD", weight_decouple=True)),
]
