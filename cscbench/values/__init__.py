"""The values that pass between the layers: frozen, without I/O. They import nothing else of cscbench."""

from cscbench.values.asking import (
    JUDGE,
    SUPPORTER,
    ChatRole,
    Message,
    ModelCard,
    Price,
    Reply,
    Request,
    Sampling,
    estimate_tokens,
)
from cscbench.values.condition import Condition, Context, Form, Step
from cscbench.values.dialogue import Dialogue, Language, Speaker, Turn
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.judging import (
    HIGHEST,
    LOWEST,
    TRIES,
    Item,
    JudgeOptions,
    JudgeRecord,
    JudgingRecord,
    Level,
    Rating,
    TranscriptLine,
)
from cscbench.values.metrics import Estimate, Metric
from cscbench.values.strategies import (
    CSC,
    Stage,
    Strategy,
    StrategySet,
    UnknownStrategyError,
    by_code,
    normalise,
    stage_of,
)
from cscbench.values.transcript import Pair, SpokenTurn, Transcript, cluster_of

__all__ = [
    "CSC",
    "HIGHEST",
    "JUDGE",
    "LOWEST",
    "SUPPORTER",
    "TRIES",
    "ChatRole",
    "Condition",
    "Context",
    "Dialogue",
    "Estimate",
    "Form",
    "Frozen",
    "Item",
    "JudgeOptions",
    "JudgeRecord",
    "JudgingRecord",
    "Language",
    "Level",
    "Message",
    "Metric",
    "ModelCard",
    "Pair",
    "Price",
    "Rating",
    "Reply",
    "Request",
    "Sampling",
    "Speaker",
    "SpokenTurn",
    "Stage",
    "Step",
    "Strategy",
    "StrategySet",
    "Transcript",
    "TranscriptLine",
    "Turn",
    "UnknownStrategyError",
    "UserError",
    "by_code",
    "cluster_of",
    "estimate_tokens",
    "normalise",
    "stage_of",
]
