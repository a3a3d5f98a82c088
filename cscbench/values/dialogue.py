"""Dialogues as tasks load them: turns with speaker, text and strategy, in one language."""

from enum import StrEnum

from cscbench.values.frozen import Frozen


class Language(StrEnum):
    """Language of a dialogue. It selects prompts and tokenizers, and limits which encoders apply."""

    ZH = "zh"
    EN = "en"


class Speaker(StrEnum):
    """Who speaks a turn."""

    SUPPORTER = "supporter"
    CUSTOMER = "customer"


class Turn(Frozen, frozen=True):
    """One utterance. `strategy` is a code of the task's `StrategySet`; None on customer turns and on unlabeled ones."""

    speaker: Speaker
    text: str
    strategy: str | None = None


class Dialogue(Frozen, frozen=True):
    """One conversation, in order. `source` and `topic` are copied from the data, or empty.

    Dialogues with the same `cluster` are not independent (rewordings of one question, repeats of one case), so
    statistics count clusters. If `cluster` is empty, the dialogue is its own cluster.
    """

    id: str
    turns: tuple[Turn, ...]
    language: Language
    topic: str = ""
    source: str = ""
    cluster: str = ""
