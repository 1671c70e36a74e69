"""Everything a user puts in `model.fit(callbacks=[...])`."""

from keras_dlopt.callbacks.one_cycle import OneCycle
from keras_dlopt.callbacks.prune import Prune
from keras_dlopt.callbacks.record_optimizer import RecordOptimizer
from keras_dlopt.callbacks.warmup_cosine import WarmupCosine

__all__ = ["OneCycle", "Prune", "RecordOptimizer", "WarmupCosine"]
