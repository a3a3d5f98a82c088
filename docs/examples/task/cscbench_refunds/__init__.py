"""The task `refunds`: its own dialogues, with the prompts, labels and scorers of csconv."""

from pathlib import Path

import msgspec

from cscbench.content.csconv import load_csconv
from cscbench.content.tasks import Task, TaskData, find_task, task_data

DIALOGUES = Path(__file__).parent / "refunds.jsonl"


def load(data: Path | None) -> TaskData:
    """Return the dialogues of `--data`, or those of this package."""
    return task_data(load_csconv(data or DIALOGUES))


def task() -> Task:
    """Return the task for the entry point; fields not set here are those of csconv."""
    return msgspec.structs.replace(
        find_task("csconv"),
        name="refunds",
        title="Refunds (authored)",
        description="Six conversations about refunds: granted, refused, and on their way.",
        load=load,
    )
