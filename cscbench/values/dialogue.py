"""Dialogues as tasks load them: who says what, in which language, under which strategy."""

from enum import StrEnum

from cscbench.values.frozen import Frozen


class Language(StrEnum):
    """Language of a dialogue; chooses prompts, tokenisers and the encoder's reach."""

    ZH = "zh"
    EN = "en"


class Speaker(StrEnum):
    """Who says a turn."""

    SUPPORTER = "supporter"
    CUSTOMER = "customer"


class Turn(Frozen, frozen=True):
    """One utterance. `strategy` is a code of the task's `StrategySet`, None on customer turns and without a label."""

    speaker: Speaker
    text: str
    strategy: str | None = None


class Dialogue(Frozen, frozen=True):
    """One conversation, in order. `source` and `topic` are the data's own words, or empty.

    Dialogues of one `cluster` are not independent of each other (rewordings of one question, repeats of one case):
    evidence counts clusters. Empty: the dialogue is a cluster by itself.
    """

    id: str
    turns: tuple[Turn, ...]
    language: Language
    topic: str = ""
    source: str = ""
    cluster: str = ""
