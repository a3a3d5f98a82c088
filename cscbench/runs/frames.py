"""A finished run as pandas tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from cscbench.content.extras import require_extra
from cscbench.runs.results import Results, ScoreTable
from cscbench.values import ScoredPair

if TYPE_CHECKING:
    import pandas


def metrics_frame(results: Results) -> "pandas.DataFrame":
    """Return a row a metric, in the order of results.json."""
    require_extra("report", ["pandas"], "tables as pandas frames")
    import pandas as pd

    return pd.DataFrame.from_records([msgspec.to_builtins(metric) for metric in results.metrics])


def turns_frame(pairs: Iterable[ScoredPair], statistics: ScoreTable) -> "pandas.DataFrame":
    """Return a row a turn, in the run's order."""
    require_extra("report", ["pandas"], "tables as pandas frames")
    import pandas as pd

    turns = pd.DataFrame.from_records(
        [msgspec.to_builtins(pair) for pair in pairs], columns=list(ScoredPair.__struct_fields__)
    )
    scores = pd.DataFrame(dict(statistics.columns))
    scores["dialogue"] = [dialogue for dialogue, _ in statistics.turns]
    scores["turn"] = [turn for _, turn in statistics.turns]
    return turns.merge(scores, on=["dialogue", "turn"], how="left", validate="one_to_one")
