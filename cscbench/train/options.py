"""What a training is told: the recipe that shapes the weights, and what else the command line gives."""

from cscbench.values import Condition, Frozen, Language

# A RoleCS dialogue has at most 50 turns of some 50 characters: it fits, with the system message.
MOST_TOKENS = 4096
ALL_LINEAR = "all-linear"


class Recipe(Frozen, frozen=True):
    """What shapes the weights, with the published recipe's values where it gives them (docs/training.md).

    `targets` are names of linear modules, or `all-linear`; a step is `batch_size` x `accumulate` sequences of at most
    `max_length` tokens (0: `MOST_TOKENS`, or the model's window where that is smaller); `holdout` is the share of
    dialogues kept back; `seed` sets the weights' start, the order of the data and which dialogues are kept back.
    """

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    learning_rate: float = 3e-5
    epochs: int = 3
    batch_size: int = 4
    accumulate: int = 2
    max_length: int = 0
    holdout: float = 0.1
    seed: int = 0


class TrainOptions(Frozen, frozen=True):
    """What the command line gives. `limit` 0 takes all dialogues.

    `save_every` (seconds between checkpoints) and `recompute` (activations are computed twice instead of kept) change
    no weight.
    """

    base: str
    out: str
    task: str = "csconv_sample"
    data: str = ""
    condition: Condition = Condition.JOINT
    limit: int = 0
    language: Language | None = None
    recipe: Recipe = Recipe()
    save_every: float = 60.0
    recompute: bool = False
    trust_remote_code: bool = False
