"""The built-in scorers: one module per family of metrics."""
