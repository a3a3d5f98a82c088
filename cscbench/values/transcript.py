"""What a model made of supporter turns, alone and beside the reference."""

from cscbench.values.condition import Form
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen


class Prediction(Frozen, frozen=True):
    """What a model made of one supporter turn. `strategy` is None where none could be read."""

    dialogue: str
    turn: int
    strategy: str | None
    text: str
    form: Form
    error: str = ""


class Pair(Frozen, frozen=True):
    """A prediction beside its reference: the row that scorers read, and a row of predictions.parquet."""

    dialogue: str
    turn: int
    language: Language
    topic: str
    reference_strategy: str
    reference: str
    strategy: str | None
    text: str
    form: Form
    error: str = ""
