"""What a run is asked for, before anything is resolved."""

from collections.abc import Mapping
from typing import Any

from cscbench.values import Condition, Context, Frozen, Language


class RunOptions(Frozen, frozen=True):
    """What to run, and with what.

    `model` is a spec `base+variant+...`; `data` a file in place of the task's; `limit` 0 plays all dialogues; an empty
    `encoder` and `scorers` leave the task's; `judges` are the cards of LLM judges. `overrides` sets fields of the card,
    the task, its data or the judging, by path: `{"card.sampling.max_tokens": 64}`. `max_cost`, in the currency of the
    card's price, changes no reply: None sets no limit. `out` is the parent of the run folders.
    """

    model: str
    task: str = "csconv_sample"
    lora: str = ""
    data: str = ""
    context: Context = Context.GOLD
    condition: Condition = Condition.JOINT
    limit: int = 0
    language: Language | None = None
    seed: int = 0
    out: str = "reports"
    encoder: str = ""
    scorers: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = {}
    trust_remote_code: bool = False
    max_cost: float | None = None
