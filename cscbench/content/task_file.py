"""The fields of `task.yaml`."""

from cscbench.values import Frozen


class HubFile(Frozen, frozen=True):
    """A data file on the Hugging Face Hub, identified by file name, never by split."""

    repo: str
    file: str
    revision: str = ""


class DataFiles(Frozen, frozen=True):
    """Locations of a task's dialogues: files in its folder, or one on the Hub."""

    test: str = ""
    train: str = ""
    hub: HubFile | None = None


class TaskFile(Frozen, frozen=True):
    """`task.yaml` as written. `extends` names a task that provides missing fields and prompts."""

    name: str
    title: str
    description: str
    data: DataFiles
    extends: str = ""
    scorers: tuple[str, ...] = ()
    encoder: str = ""
