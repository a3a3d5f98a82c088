"""What was said: a dialogue as a model played it, and each of its turns beside the reference."""

from cscbench.values.asking import SUPPORTER
from cscbench.values.condition import ParseForm
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen


class SpokenTurn(Frozen, frozen=True):
    """What a model made of one turn. `strategy` is None where none could be read; `role` says whose turn it is."""

    turn: int
    strategy: str | None
    text: str
    form: ParseForm
    error: str = ""
    role: str = SUPPORTER


class Transcript(Frozen, frozen=True):
    """What a play returns: turns of one dialogue, in order. A reference is no part of it."""

    dialogue: str
    language: Language
    turns: tuple[SpokenTurn, ...]


class ScoredPair(Frozen, frozen=True):
    """A spoken turn beside its reference: the row that scorers read, and a row of predictions.parquet.

    `reference` is empty where nobody has said what to say, `reference_strategy` where the reference has no label.
    `cluster` is empty in files that are older than clusters: see `cluster_of`.
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
    """What the turn's evidence counts for: the cluster of its dialogue, by default the dialogue itself."""
    return pair.cluster or pair.dialogue
