"""What `keras_dlopt.optimizers.first_order` is held against."""

from references import Case, from_keras, from_optax, from_torch

CASES = [
    Case("GradientDescent", from_keras("SGD")),
    Case("AdaBelief", from_optax("scale_by_belief")),
    Case("Adan", from_torch("pytorch_optimizer", "Adan", foreach=False)),
    Case("RAdam", from_torch("torch.optim", "RAdam", decoupled_weight_decay=True)),
    Case("Yogi", from_optax("scale_by_yogi", b2=0.999, eps=1e-3)),
    Case("ADOPT", from_optax("scale_by_adopt")),
    Case("AdEMAMix", from_optax("scale_by_ademamix", alpha=5.0), {"beta_3": 0.99}),
]
