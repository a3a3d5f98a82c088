"""cscbench: evaluation and benchmarking of customer-support conversation models."""

__version__ = "0.1.0"
