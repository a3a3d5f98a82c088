"""What a run is asked for, before anything is resolved."""

from cscbench.values import Condition, Context, Frozen, JudgeOptions, Language


class RunOptions(Frozen, frozen=True):
    """What the command line gives. `limit` 0 takes all dialogues; empty `encoder` and `scorers` take the task's.

    `max_cost`, in the currency of the card's price, changes no reply: None sets no limit.
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
    trust_remote_code: bool = False
    max_cost: float | None = None
    judging: JudgeOptions = JudgeOptions()
