"""Ahead of time: the model's compiled steps go through Google's own TPU compiler, on any machine, without a TPU."""
