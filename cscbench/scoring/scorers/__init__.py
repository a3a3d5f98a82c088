"""The scorers that ship: one module a family of metrics."""
