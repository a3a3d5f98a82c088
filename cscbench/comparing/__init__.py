"""Finished runs against each other and against rules."""
