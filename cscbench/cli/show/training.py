"""What the terminal shows of a training."""

from cscbench.cli.show.results import table
from cscbench.train.sequences import SequenceCounts
from cscbench.train.training_folder import EpochLoss, TrainingRecord


def show_training(record: TrainingRecord, base: str, out: str) -> None:
    """Print the losses by epoch, what was trained on and held out, and the command that runs the weights."""
    losses = [_loss_row(loss) for loss in record.losses]
    table(f"LoRA weights for {record.base.label}", ("epoch", "train loss", "held-out loss"), losses, numbers=(1, 2))
    columns = ("", "dialogues", "split", "sequences", "tokens", "answers", "answer tokens", "left out")
    rows = [("trained on", *_counts_row(record.train)), ("held out", *_counts_row(record.held_out))]
    table("", columns, rows, numbers=range(1, len(columns)))
    before, after = record.losses[0].held_out, record.losses[-1].held_out
    lines = [
        *(f"note: {note}" for note in (*record.data.notes, *record.notes)),
        *([] if after < before else [f"note: the held-out loss did not fall: {before:.4f} before, {after:.4f} after"]),
        f"adapter_model.safetensors has sha256 {record.sha256}",
        f"runs with these weights are named {record.base.label}+lora@{record.lora[:8]}; to start one:",
        f"cscbench run --model {base} --lora {out}",
    ]
    print("\n".join(lines))  # noqa: T201 - standard output is this function's purpose


def _loss_row(loss: EpochLoss) -> tuple[str, str, str]:
    train = "" if loss.train is None else f"{loss.train:.4f}"
    return str(loss.epoch) if loss.epoch else "before", train, f"{loss.held_out:.4f}"


def _counts_row(counts: SequenceCounts) -> tuple[str, ...]:
    numbers = (
        counts.dialogues,
        counts.split,
        counts.sequences,
        counts.tokens,
        counts.answers,
        counts.answer_tokens,
        counts.left_out,
    )
    return tuple(f"{number:,}" for number in numbers)
