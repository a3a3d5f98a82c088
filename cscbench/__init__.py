"""cscbench: evaluation and benchmarking of customer-support conversation models.

import cscbench

run = cscbench.run("majority")
run.metrics_frame()
cscbench.compare([run, "reports/ANOTHER_RUN"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cscbench.api import compare as compare
    from cscbench.api import load as load
    from cscbench.api import rescore as rescore
    from cscbench.api import run as run
    from cscbench.asking.budget import BudgetSpent as BudgetSpent
    from cscbench.runs.finished import FinishedRun as FinishedRun
    from cscbench.scoring.bootstrap import Resampling as Resampling
    from cscbench.values import UserError as UserError

__version__ = "0.1.0"

_LAZY = {
    **dict.fromkeys(("compare", "load", "rescore", "run"), "cscbench.api"),
    "BudgetSpent": "cscbench.asking.budget",
    "FinishedRun": "cscbench.runs.finished",
    "Resampling": "cscbench.scoring.bootstrap",
    "UserError": "cscbench.values",
}
__all__ = ["BudgetSpent", "FinishedRun", "Resampling", "UserError", "__version__", "compare", "load", "rescore", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use, so that `import cscbench` stays quick."""
    if name not in _LAZY:
        raise AttributeError(f"module 'cscbench' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
