"""Select the turns over which several runs are compared.

Runs are paired by dialogue. If all of them have reference turns, they are paired by turn within each dialogue: over the
turns that all runs answered and whose references are equal. Conversations without references share only dialogues.
"""

from collections.abc import Mapping, Sequence

from cscbench.runs.finished import FinishedRun, TurnKey
from cscbench.values import Frozen, Language, ScoredPair, UserError


class Pairing(Frozen, frozen=True):
    """What several runs have in common: each run's turns, in the same order of dialogues, and the clusters.

    `by_turn` is true if the turns are the same for all runs.
    """

    turns: tuple[tuple[TurnKey, ...], ...]
    clusters: Mapping[str, str]
    by_turn: bool

    @property
    def dialogues(self) -> int:
        """Return the number of dialogues."""
        return len({dialogue for dialogue, _ in self.turns[0]})


def pair_runs(runs: Sequence[FinishedRun]) -> Pairing:
    """Return what scored runs have in common, in the order of the first run.

    Raises:
        UserError: the runs have nothing in common, or assign a dialogue to different clusters.
    """
    by_turn = all(pair.reference for run in runs for pair in run.pairs.values())
    turns = (_same_turns(runs),) * len(runs) if by_turn else _turns_of_same_dialogues(runs)
    if not turns[0]:
        names = ", ".join(run.name for run in runs)
        raise UserError(
            f"{names} have no answered turn in common: {describe_difference(runs[0], runs[1])}. "
            "Run the models on the same task and data"
        )
    return Pairing(turns, _common_clusters(runs), by_turn)


def _same_turns(runs: Sequence[FinishedRun]) -> tuple[TurnKey, ...]:
    first, *others = runs
    return tuple(
        turn
        for turn, pair in first.pairs.items()
        if not pair.error and all(_answers_same(run.pairs.get(turn), pair) for run in others)
    )


def _answers_same(counterpart: ScoredPair | None, pair: ScoredPair) -> bool:
    return counterpart is not None and not counterpart.error and reference_of(counterpart) == reference_of(pair)


def reference_of(pair: ScoredPair) -> tuple[Language, str, str]:
    """Return what two turns at the same position must share to count as the same turn."""
    return pair.language, pair.reference_strategy, pair.reference


def _turns_of_same_dialogues(runs: Sequence[FinishedRun]) -> tuple[tuple[TurnKey, ...], ...]:
    """Return each run's turns in the dialogues that all runs answered completely."""
    whole = [_whole_dialogues(run) for run in runs]
    shared = [dialogue for dialogue in whole[0] if all(dialogue in turns for turns in whole)]
    return tuple(tuple(turn for dialogue in shared for turn in turns[dialogue]) for turns in whole)


def _whole_dialogues(run: FinishedRun) -> dict[str, list[TurnKey]]:
    turns: dict[str, list[TurnKey]] = {}
    for turn in run.pairs:
        turns.setdefault(turn[0], []).append(turn)
    failed = {pair.dialogue for pair in run.pairs.values() if pair.error}
    return {dialogue: keys for dialogue, keys in turns.items() if dialogue not in failed}


def _common_clusters(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Return each dialogue's cluster; a run recorded before its data named clusters defers to the others."""
    clusters: dict[str, str] = {}
    for run in runs:
        for dialogue, cluster in run.clusters.items():
            known = clusters.setdefault(dialogue, cluster)
            if dialogue not in (known, cluster) and known != cluster:
                raise UserError(
                    f"dialogue {dialogue!r} is in cluster {known!r} of one run and in {cluster!r} of {run.name}. "
                    "Run the models on the same data"
                )
            if known == dialogue:
                clusters[dialogue] = cluster
    return clusters


def describe_difference(a: FinishedRun, b: FinishedRun) -> str:
    """Describe how two runs differ that have nothing in common."""
    tasks = f"task {a.record.task.name} and {b.record.task.name}"
    files = (" + ".join(f"{file.name} {file.sha256[:8]}" for file in run.record.data.files) for run in (a, b))
    ways = (f"{run.record.protocol.condition}, {len(run.record.dialogues)} dialogues" for run in (a, b))
    return f"{tasks}; data {' and '.join(files)}; {' and '.join(ways)}"
