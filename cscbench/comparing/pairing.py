"""Which turns of several runs are held against each other.

Runs pair by dialogue. Where all of them have reference turns, they pair by turn within the dialogues: the turns that
all runs answered, to the same reference. Conversations without a reference have no turns in common, only dialogues.
"""

from collections.abc import Mapping, Sequence

from cscbench.runs.finished import FinishedRun, TurnKey
from cscbench.values import Frozen, Language, ScoredPair, UserError


class Pairing(Frozen, frozen=True):
    """What several runs have in common: for each run its turns, in the same order of dialogues; and their clusters.

    `by_turn`: the turns are the same for all runs.
    """

    turns: tuple[tuple[TurnKey, ...], ...]
    clusters: Mapping[str, str]
    by_turn: bool

    @property
    def dialogues(self) -> int:
        """How many dialogues there are."""
        return len({dialogue for dialogue, _ in self.turns[0]})


def pair_runs(runs: Sequence[FinishedRun]) -> Pairing:
    """What runs have in common, in the first one's order; all must be scored.

    Raises:
        UserError: they have nothing in common, or name different clusters.
    """
    by_turn = all(pair.reference for run in runs for pair in run.pairs.values())
    turns = (_same_turns(runs),) * len(runs) if by_turn else _turns_of_same_dialogues(runs)
    if not turns[0]:
        names = ", ".join(run.name for run in runs)
        raise UserError(
            f"{names} have no answered turn in common: {why_apart(runs[0], runs[1])}. "
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


def _answers_same(other: ScoredPair | None, pair: ScoredPair) -> bool:
    return other is not None and not other.error and reference_of(other) == reference_of(pair)


def reference_of(pair: ScoredPair) -> tuple[Language, str, str]:
    """What two turns of one place must share to be the same turn."""
    return pair.language, pair.reference_strategy, pair.reference


def _turns_of_same_dialogues(runs: Sequence[FinishedRun]) -> tuple[tuple[TurnKey, ...], ...]:
    """Each run's turns of the dialogues that all runs answered as a whole."""
    whole = [_whole_dialogues(run) for run in runs]
    shared = [dialogue for dialogue in whole[0] if all(dialogue in turns for turns in whole)]
    return tuple(tuple(turn for dialogue in shared for turn in turns[dialogue]) for turns in whole)


def _whole_dialogues(run: FinishedRun) -> dict[str, list[TurnKey]]:
    turns: dict[str, list[TurnKey]] = {}
    for turn in run.pairs:
        turns.setdefault(turn[0], []).append(turn)
    failed = {pair.dialogue for pair in run.pairs.values() if pair.error}
    return {dialogue: own_turns for dialogue, own_turns in turns.items() if dialogue not in failed}


def _common_clusters(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """The cluster of each dialogue: a run of before its data named clusters leaves the word to the others."""
    clusters: dict[str, str] = {}
    for run in runs:
        for dialogue, cluster in run.clusters.items():
            known = clusters.setdefault(dialogue, cluster)
            if dialogue not in (known, cluster) and known != cluster:
                raise UserError(
                    f"dialogue {dialogue!r} is in cluster {known!r} of one run and in {cluster!r} of {run.name}: "
                    "run the models on the same data"
                )
            if known == dialogue:
                clusters[dialogue] = cluster
    return clusters


def why_apart(a: FinishedRun, b: FinishedRun) -> str:
    """In what two runs differ that have nothing in common."""
    tasks = f"task {a.record.task.name} and {b.record.task.name}"
    files = (" + ".join(f"{file.name} {file.sha256[:8]}" for file in run.record.data.files) for run in (a, b))
    ways = (f"{run.record.protocol.condition}, {len(run.record.dialogues)} dialogues" for run in (a, b))
    return f"{tasks}; data {' and '.join(files)}; {' and '.join(ways)}"
