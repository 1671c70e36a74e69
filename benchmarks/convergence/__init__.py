"""The parts of `benchmarks/convergence.py`."""
