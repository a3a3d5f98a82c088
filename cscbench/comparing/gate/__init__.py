"""Decide whether a run is good enough, by rules on confidence bounds."""
