"""Whether a run is good enough: rules on confidence bounds."""
