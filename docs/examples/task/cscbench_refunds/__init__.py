"""A task of our own, `refunds`: our dialogues, with the prompts, labels and scorers of csconv."""

from pathlib import Path

import msgspec

from cscbench.content.csconv import load_csconv
from cscbench.content.tasks import Task, TaskData, find_task, task_data

DIALOGUES = Path(__file__).parent / "refunds.jsonl"


def load(data: Path | None) -> TaskData:
    """The dialogues: those of `--data`, else ours."""
    return task_data(load_csconv(data or DIALOGUES))


def task() -> Task:
    """What the entry point names; all that is not given here is csconv's."""
    return msgspec.structs.replace(
        find_task("csconv"),
        name="refunds",
        title="Refunds (authored)",
        description="Six conversations about refunds: granted, refused, and on their way.",
        load=load,
    )
