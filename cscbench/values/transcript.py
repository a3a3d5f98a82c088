"""Transcripts: a dialogue as a model played it, and each of its turns paired with the reference."""

from cscbench.values.asking import SUPPORTER
from cscbench.values.condition import ParseForm
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen


class SpokenTurn(Frozen, frozen=True):
    """A model's version of one turn. `strategy` is None if it could not be parsed; `role` says whose turn it is."""

    turn: int
    strategy: str | None
    text: str
    form: ParseForm
    error: str = ""
    role: str = SUPPORTER


class Transcript(Frozen, frozen=True):
    """What a play returns: turns of one dialogue, in order, without the reference."""

    dialogue: str
    language: Language
    turns: tuple[SpokenTurn, ...]


class ScoredPair(Frozen, frozen=True):
    """A spoken turn and its reference: the input of scorers, and a row of predictions.parquet.

    `reference` is empty if the turn has no reference, `reference_strategy` if the reference has no label. `cluster` is
    empty in files written before clusters existed: see `cluster_of`.
    """

    dialogue: str
    turn: int
    language: Language
    topic: str
    reference_strategy: str
    reference: str
    strategy: str | None
    text: str
    form: ParseForm
    error: str = ""
    cluster: str = ""


def cluster_of(pair: ScoredPair) -> str:
    """Return the cluster that statistics count this turn under: by default, its dialogue."""
    return pair.cluster or pair.dialogue
