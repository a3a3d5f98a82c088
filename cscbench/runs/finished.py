"""A run folder as one value, the only reader of run folders.

Reducing stored statistics needs no encoder, weights or network: only measuring does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cscbench.asking import files, store
from cscbench.asking.record import RunRecord
from cscbench.asking.store import StoredReply
from cscbench.runs import frames, summary
from cscbench.runs import results as results_file
from cscbench.runs.results import Results, ScoreTable
from cscbench.scoring.bootstrap import Matrix, Resampling, cluster_numbers, sum_by_cluster
from cscbench.scoring.metric_sums import MetricSums
from cscbench.scoring.paired import Summarise
from cscbench.scoring.registry import find_reducer
from cscbench.scoring.scorer import OF_STRATEGIES, Reducer, ScoringContext
from cscbench.values import Metric, ScoredPair, UserError, cluster_of

if TYPE_CHECKING:
    import pandas

TurnKey = tuple[str, int]


class RunState(StrEnum):
    """The state of a run: all answered; scored, but some replies failed; or not scored yet."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """A run on disk; `results` is None if it is not scored yet.

    Large files are read on first use. `print` and notebooks show the table of its metrics.
    """

    folder: Path
    record: RunRecord
    results: Results | None

    def __repr__(self) -> str:
        if self.results is None:
            return f"{self.folder}: {self.state}"
        table = summary.text_table(summary.COLUMNS, summary.metric_rows(self.results), summary.NUMBERS)
        return f"{summary.headline(self.results)}\n{table}{summary.counts_line(self.results)}\n{self.folder}"

    def _repr_html_(self) -> str | None:
        if self.results is None:
            return None
        rows = summary.metric_rows(self.results)
        return summary.html_table(summary.headline(self.results), summary.COLUMNS, rows, summary.NUMBERS)

    def metrics_frame(self) -> "pandas.DataFrame":
        """Return a row for each metric: value, 95% interval, number of turns, direction and signature.

        Raises:
            UserError: the run is not scored yet, or pandas is missing.
        """
        return frames.metrics_frame(self.scored())

    def turns_frame(self) -> "pandas.DataFrame":
        """Return a row for each supporter turn: reference, reply, and each scorer's statistics as `<scorer>.<column>`.

        The statistics are what metrics sum over dialogues before they divide (docs/results.md); a failed turn has NaN.

        Raises:
            UserError: the run is not scored yet, a file of it is damaged, or pandas is missing.
        """
        self.scored()
        return frames.turns_frame(self.pairs.values(), self.statistics)

    @property
    def state(self) -> RunState:
        """Whether it is complete, partial or unfinished."""
        if self.results is None:
            return RunState.UNFINISHED
        return RunState.COMPLETE if self.results.run.complete else RunState.PARTIAL

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.record.name

    def scored(self) -> Results:
        """Return its results.

        Raises:
            UserError: it is not scored yet.
        """
        if self.results is None:
            raise UserError(f"{self.folder}: not scored yet. Repeat its `cscbench run` command to finish it.")
        return self.results

    @cached_property
    def pairs(self) -> Mapping[TurnKey, ScoredPair]:
        """Each turn with its reference, by (dialogue, turn); empty if the run is not scored.

        Raises:
            UserError: predictions.parquet is missing or damaged.
        """
        if self.results is None:
            return {}
        return {(pair.dialogue, pair.turn): pair for pair in results_file.read_pairs(self.folder)}

    @cached_property
    def statistics(self) -> ScoreTable:
        """Each scorer's statistics for every answered turn.

        Raises:
            UserError: scores.parquet is missing or damaged.
        """
        return results_file.read_scores(self.folder)

    @cached_property
    def replies(self) -> Mapping[str, StoredReply]:
        """The effective replies by request id, failed ones included; empty if only scored turns were kept."""
        key = store.engine_key(self.record)
        lines = store.read_lines(self.folder / store.REPLIES, StoredReply).values
        return store.effective_replies([line for line in lines if line.engine == key])

    def read_all(self) -> "FinishedRun":
        """Read everything that belongs to its results, and return the run.

        Raises:
            UserError: a file is missing or damaged.
        """
        if self.results is not None:
            _ = self.pairs, self.statistics
        return self

    @property
    def answered(self) -> tuple[TurnKey, ...]:
        """The answered turns, in the run's order."""
        return tuple(turn for turn, pair in self.pairs.items() if not pair.error)

    @property
    def clusters(self) -> dict[str, str]:
        """The cluster of each dialogue."""
        return {pair.dialogue: cluster_of(pair) for pair in self.pairs.values()}

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers in its results."""
        return self.results.scoring.scorers if self.results is not None else ()

    def scores_nothing(self, scorer: str) -> bool:
        """Return whether the scorer scores strategies although the model chose none."""
        return scorer in OF_STRATEGIES and not self.record.protocol.condition.predicts_strategy

    def metric(self, name: str) -> Metric | None:
        """Return a metric of its results, None if it has none of this name."""
        metrics = self.results.metrics if self.results is not None else ()
        return next((metric for metric in metrics if metric.name == name), None)

    def measured_as(self, metric: str) -> str:
        """Return the part of a metric's signature that says how it was measured, without task, data and protocol."""
        result = self.metric(metric)
        return measured_as(result) if result is not None else ""

    def metric_sums(
        self, scorer: str, turns: Sequence[TurnKey] | None = None, clusters: Mapping[str, str] | None = None
    ) -> tuple[MetricSums, ...]:
        """Sum one scorer's metrics by cluster, over the given turns or all answered ones.

        Clusters come in the order of `turns`. `clusters` maps each dialogue to a cluster other than the run's own.

        Raises:
            UserError: the run was not scored with it, or its statistics are missing, damaged or of another version.
        """
        reducer = self._reducer(scorer)
        sums = self._sums(scorer, reducer, self.answered if turns is None else turns, clusters or self.clusters)
        return tuple(
            MetricSums(self.name, spec, self.measured_as(spec.name), sums, _column(reducer, number))
            for number, spec in enumerate(reducer.metrics)
        )

    def _reducer(self, scorer: str) -> Reducer:
        if self.results is None or scorer not in self.results.scoring.scorers:
            raise UserError(f"{self.name} was not scored with it")
        if self.scores_nothing(scorer):
            raise UserError(f"{self.name} chose no strategies")
        condition, task = self.record.protocol.condition, self.record.task
        context = ScoringContext(task.languages, condition, task.strategies, judging=self.results.scoring.judging)
        prefix = f"{scorer}."
        columns = tuple(name.removeprefix(prefix) for name in self.statistics.columns if name.startswith(prefix))
        return find_reducer(scorer, context, columns)

    def _sums(self, scorer: str, reducer: Reducer, turns: Sequence[TurnKey], clusters: Mapping[str, str]) -> Matrix:
        import numpy as np

        table = self.statistics
        columns = [f"{scorer}.{column}" for column in reducer.columns]
        row_of = {turn: row for row, turn in enumerate(table.turns)}
        if not set(columns) <= set(table.columns) or not set(turns) <= set(row_of):
            raise UserError(f"{self.name} lacks these scores: `cscbench score` writes them again")
        if not turns:
            return np.zeros((0, len(columns)))
        rows = np.stack([table.columns[column] for column in columns], axis=1)[[row_of[turn] for turn in turns]]
        numbers = cluster_numbers([clusters[dialogue] for dialogue, _ in turns])
        return sum_by_cluster(rows, numbers, int(numbers.max()) + 1)


def measured_as(metric: Metric) -> str:
    """Return the part of a metric's signature that says how it was measured, without task, data and protocol."""
    return metric.signature.partition("|task:")[0]


def _column(reducer: Reducer, number: int) -> Summarise:
    return lambda sums: reducer.summarise(sums)[:, number : number + 1]


def load(folder: Path) -> FinishedRun:
    """Return the run in a folder, finished or not.

    Raises:
        UserError: the folder holds no run, or its run.json or results.json is damaged or of a newer version.
    """
    record = store.read_run(folder)
    scored = files.exists(folder / store.RESULTS)
    return FinishedRun(folder, record, results_file.read(folder) if scored else None)


def find_runs(path: Path) -> list[Path]:
    """Return the folder if it holds a finished run, else the finished runs in it, by name.

    Raises:
        UserError: it is neither a finished run nor a folder of finished runs.
    """
    if files.exists(path / store.RESULTS):
        return [path]
    visible = (entry for entry in path.glob("*") if not entry.name.startswith("."))
    folders = sorted(entry for entry in visible if files.exists(entry / store.RESULTS))
    if not folders:
        raise UserError(f"{path}: neither a finished run nor a folder with finished runs (no {store.RESULTS})")
    return folders


def resampling_over(runs: Sequence[FinishedRun], resampling: Resampling) -> Resampling:
    """Name the unit of a resampling: clusters if a run's data name some, else dialogues."""
    import msgspec

    named = any(run.record.data.clusters for run in runs)
    return msgspec.structs.replace(resampling, unit="cluster" if named else "dialogue")
