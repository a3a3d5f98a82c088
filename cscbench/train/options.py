"""The settings of a training: the recipe that determines the weights, and the other options."""

from cscbench.values import Condition, Frozen, Language

# A RoleCS dialogue has at most 50 turns of some 50 characters: it fits, with the system message.
MAX_LENGTH = 4096
ALL_LINEAR = "all-linear"


class Recipe(Frozen, frozen=True):
    """What determines the weights; defaults are the published recipe's if it has them (docs/training.md).

    `targets` are names of linear modules, or `all-linear`; a step is `batch_size` x `accumulate` sequences of at most
    `max_length` tokens (0: `MAX_LENGTH`, or the model's window if that is smaller); `holdout` is the share of
    dialogues held out; `seed` sets the initial weights, the order of the data and the choice of held-out dialogues.
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
    """The options of a training. `limit` 0 means all dialogues.

    `save_every` (seconds between checkpoints) and `recompute` (recompute activations instead of storing them) do not
    affect the weights.
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
