"""A run folder as one value: whatever looks at runs reads them here.

Stored statistics are reduced without an encoder, weights or a network: those are needed to measure, not to sum.
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
    """How far a run has come: all answered; scored, but some replies failed; or not scored yet."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """A run on disk, as far as it has come; `results` is None if it is not scored yet.

    Large files are read on first use. Printed, and in a notebook, it is a table of its metrics.
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
        """Return a row a metric: its value, 95 % interval, number of turns, direction, and signature.

        Raises:
            UserError: the run is not scored yet, or pandas is missing.
        """
        return frames.metrics_frame(self.scored())

    def turns_frame(self) -> "pandas.DataFrame":
        """Return a row a turn: reference and reply, with each scorer's statistics as `<scorer>.<column>`.

        A turn that failed, or that a scorer could not measure, has NaN there. A turn's statistics are what metrics sum
        over dialogues before they divide: see docs/results.md.

        Raises:
            UserError: the run is not scored yet, a file of it is damaged, or pandas is missing.
        """
        self.scored()
        return frames.turns_frame(self.pairs.values(), self.statistics)

    @property
    def state(self) -> RunState:
        """How far it has come."""
        if self.results is None:
            return RunState.UNFINISHED
        return RunState.COMPLETE if self.results.run.complete else RunState.PARTIAL

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.record.name

    def scored(self) -> Results:
        """Its results.

        Raises:
            UserError: it is not scored yet.
        """
        if self.results is None:
            raise UserError(f"{self.folder}: not scored yet. Repeat its `cscbench run` command to finish it.")
        return self.results

    @cached_property
    def pairs(self) -> Mapping[TurnKey, ScoredPair]:
        """Each turn with its reference; none of a run that is not scored.

        Raises:
            UserError: predictions.parquet is missing or damaged.
        """
        if self.results is None:
            return {}
        return {(pair.dialogue, pair.turn): pair for pair in results_file.read_pairs(self.folder)}

    @cached_property
    def statistics(self) -> ScoreTable:
        """Each scorer's statistics of every answered turn.

        Raises:
            UserError: scores.parquet is missing or damaged.
        """
        return results_file.read_scores(self.folder)

    @cached_property
    def replies(self) -> Mapping[str, StoredReply]:
        """The replies that count, by request id, failed ones too; none where only the scored turns were kept."""
        key = store.engine_key(self.record)
        lines = store.read_lines(self.folder / store.REPLIES, StoredReply).values
        return store.effective_replies([line for line in lines if line.engine == key])

    def read_all(self) -> "FinishedRun":
        """The run, once what belongs to its results has been read.

        Raises:
            UserError: a file is missing or damaged.
        """
        if self.results is not None:
            _ = self.pairs, self.statistics
        return self

    @property
    def answered(self) -> tuple[TurnKey, ...]:
        """The turns with a reply, in the run's order."""
        return tuple(turn for turn, pair in self.pairs.items() if not pair.error)

    @property
    def clusters(self) -> dict[str, str]:
        """The cluster of each dialogue."""
        return {pair.dialogue: cluster_of(pair) for pair in self.pairs.values()}

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers that it was scored with."""
        return self.results.scoring.scorers if self.results is not None else ()

    def scores_nothing(self, scorer: str) -> bool:
        """It scores strategies, and the run chose none."""
        return scorer in OF_STRATEGIES and not self.record.protocol.condition.predicts_strategy

    def metric(self, name: str) -> Metric | None:
        """A metric of its results."""
        metrics = self.results.metrics if self.results is not None else ()
        return next((metric for metric in metrics if metric.name == name), None)

    def measured_as(self, metric: str) -> str:
        """The part of a metric's signature that says how it was measured, without task, data and protocol."""
        known = self.metric(metric)
        return measured_as(known) if known is not None else ""

    def metric_sums(
        self, scorer: str, turns: Sequence[TurnKey] | None = None, clusters: Mapping[str, str] | None = None
    ) -> tuple[MetricSums, ...]:
        """The metrics of one scorer over some turns (None: all that were answered), summed by cluster.

        Clusters come in the order of `turns`. `clusters` gives each dialogue's, where the run's own do not count.

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
            raise UserError(f"{self.name} has no such scores of this version: `cscbench score` writes them anew")
        if not turns:
            return np.zeros((0, len(columns)))
        rows = np.stack([table.columns[column] for column in columns], axis=1)[[row_of[turn] for turn in turns]]
        numbers = cluster_numbers([clusters[dialogue] for dialogue, _ in turns])
        return sum_by_cluster(rows, numbers, int(numbers.max()) + 1)


def measured_as(metric: Metric) -> str:
    """The part of a metric's signature that says how it was measured, without task, data and protocol."""
    return metric.signature.partition("|task:")[0]


def _column(reducer: Reducer, number: int) -> Summarise:
    return lambda sums: reducer.summarise(sums)[:, number : number + 1]


def load(folder: Path) -> FinishedRun:
    """The run of a folder, finished or not.

    Raises:
        UserError: it is no run folder, or its run.json or results.json is damaged or of a newer version.
    """
    record = store.read_run(folder)
    scored = files.exists(folder / store.RESULTS)
    return FinishedRun(folder, record, results_file.read(folder) if scored else None)


def find_runs(given: Path) -> list[Path]:
    """The run folder itself, or the finished runs in a folder of runs, by name.

    Raises:
        UserError: neither.
    """
    if files.exists(given / store.RESULTS):
        return [given]
    visible = (path for path in given.glob("*") if not path.name.startswith("."))
    folders = sorted(path for path in visible if files.exists(path / store.RESULTS))
    if not folders:
        raise UserError(f"{given}: neither a finished run nor a folder with finished runs (no {store.RESULTS})")
    return folders


def resampling_over(runs: Sequence[FinishedRun], resampling: Resampling) -> Resampling:
    """The resampling with its unit named: clusters where a run's data name some, else dialogues."""
    import msgspec

    named = any(run.record.data.clusters for run in runs)
    return msgspec.structs.replace(resampling, unit="cluster" if named else "dialogue")
