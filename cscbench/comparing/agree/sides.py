"""Reads the two runs, and finds the turns and requests that both have."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from cscbench.asking import store
from cscbench.asking.record import RunRecord
from cscbench.asking.store import StoredReply
from cscbench.runs import results
from cscbench.runs.results import Results, ScoreTable
from cscbench.values.dialogue import Language
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.transcript import Pair

TurnKey = tuple[str, int]


class State(StrEnum):
    """How far a run has come: all answered; scored, but some replies failed; or not scored yet."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    UNFINISHED = "unfinished"


class Side(Frozen, frozen=True):
    """One of the two runs, as far as it has come. `replies` are those that count, by request id, failed ones too."""

    run: RunRecord
    replies: Mapping[str, StoredReply]
    pairs: Mapping[TurnKey, Pair] | None
    results: Results | None
    scores: ScoreTable | None

    @property
    def state(self) -> State:
        """How far it has come."""
        if self.results is None:
            return State.UNFINISHED
        return State.COMPLETE if self.results.run.complete else State.PARTIAL


class Common(Frozen, frozen=True):
    """What both runs have, in the first one's order.

    `turns` are answered in both, `requests` have a good reply in both; `failed` counts requests with a failure in
    either. `languages` are of dialogues, as far as one of the runs is scored. `other_words` counts turns of the same
    place in a dialogue of the same name whose references differ: they are left out.
    """

    turns: tuple[TurnKey, ...]
    requests: tuple[str, ...]
    failed: int
    languages: Mapping[str, Language]
    other_words: int


def read_side(folder: Path) -> Side:
    """What a run folder holds.

    Raises:
        UserError: it is no run folder, or one of its files is damaged.
    """
    run = store.read_run(folder)
    key = store.engine_key(run)
    lines = store.read_lines(folder / store.REPLIES, StoredReply).values
    scored = (folder / store.RESULTS).exists()
    pairs = results.read_pairs(folder) if scored else None
    return Side(
        run=run,
        replies=store.counted([line for line in lines if line.engine == key]),
        pairs=None if pairs is None else {(pair.dialogue, pair.turn): pair for pair in pairs},
        results=results.read(folder) if scored else None,
        scores=results.read_scores(folder) if scored else None,
    )


def place(request: str) -> TurnKey:
    """Dialogue and turn of a request id (`cscbench.asking.plays` makes it: dialogue/turn/step)."""
    dialogue, turn, _ = request.rsplit("/", 2)
    return dialogue, int(turn)


def common(a: Side, b: Side) -> Common:
    """The turns and requests of both.

    Raises:
        UserError: there are none, or it cannot be told.
    """
    if a.pairs is None or b.pairs is None:
        return _of_replies(a, b)
    both = [turn for turn in a.pairs if turn in b.pairs]
    same = [turn for turn in both if _reference(a.pairs[turn]) == _reference(b.pairs[turn])]
    if not same:
        raise UserError(
            f"{_names(a, b)} have no turn in common: {_why(a, b)}. Run both models on the same task and data"
        )
    places = set(same)
    asked = [request for request in a.replies if request in b.replies and place(request) in places]
    return Common(
        turns=tuple(turn for turn in same if not a.pairs[turn].error and not b.pairs[turn].error),
        requests=tuple(request for request in asked if _answered(a, b, request)),
        failed=sum(1 for request in asked if not _answered(a, b, request)),
        languages={dialogue: a.pairs[dialogue, turn].language for dialogue, turn in same},
        other_words=len(both) - len(same),
    )


def _of_replies(a: Side, b: Side) -> Common:
    """Without the predictions of both, only their data files can say that turns of one name are the same turns."""
    if a.run.identity["data"] != b.run.identity["data"]:
        raise UserError(
            f"{_names(a, b)} have other data, and whether their turns coincide is known only when both are scored: "
            "the same `cscbench run` finishes each"
        )
    asked = [request for request in a.replies if request in b.replies]
    if not asked:
        raise UserError(f"{_names(a, b)} have no request in common: {_why(a, b)}")
    scored = [pair for side in (a, b) for pair in (side.pairs or {}).values()]
    return Common(
        turns=(),
        requests=tuple(request for request in asked if _answered(a, b, request)),
        failed=sum(1 for request in asked if not _answered(a, b, request)),
        languages={pair.dialogue: pair.language for pair in scored},
        other_words=0,
    )


def _answered(a: Side, b: Side, request: str) -> bool:
    return not a.replies[request].reply.error and not b.replies[request].reply.error


def same_turns(sides: Sequence[Side]) -> tuple[TurnKey, ...]:
    """The turns that all runs answered, to the same reference, in the first one's order; all must be scored.

    Raises:
        UserError: there are none.
    """
    first, *others = sides
    found = []
    for turn, pair in (first.pairs or {}).items():
        theirs = [(side.pairs or {}).get(turn) for side in others]
        alike = all(own is not None and _reference(own) == _reference(pair) and not own.error for own in theirs)
        if alike and not pair.error:
            found.append(turn)
    if not found:
        names = ", ".join(side.run.name for side in sides)
        raise UserError(
            f"{names} have no answered turn in common: {_why(first, others[0])}. "
            "Run the models on the same task and data"
        )
    return tuple(found)


def _reference(pair: Pair) -> tuple[Language, str, str]:
    return pair.language, pair.reference_strategy, pair.reference


def _names(a: Side, b: Side) -> str:
    return f"{a.run.name} and {b.run.name}"


def _why(a: Side, b: Side) -> str:
    tasks = f"task {a.run.task.name} and {b.run.task.name}"
    files = (" + ".join(f"{file.name} {file.sha256[:8]}" for file in side.run.data.files) for side in (a, b))
    ways = (f"{side.run.protocol.condition}, {len(side.run.dialogues)} dialogues" for side in (a, b))
    return f"{tasks}; data {' and '.join(files)}; {' and '.join(ways)}"
