"""cscbench's scores as metrics of the evaluate library: `evaluate.load(CSC_STRATEGY)`."""

from pathlib import Path

CSC_STRATEGY = str(Path(__file__).parent / "csc_strategy")
