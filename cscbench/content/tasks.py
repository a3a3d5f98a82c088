"""Tasks: values with functions as fields, read from `tasks/<name>/task.yaml`, `tasks/<name>/task.py` or an entry point.

A `task.py` defines `def task() -> Task`; an entry point in the group `cscbench.tasks` names such a function.
"""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cscbench.content import plugins, yaml_file
from cscbench.content.cards import resolve_cli_path
from cscbench.content.csconv import Fault, Loaded, SourceFile, load_csconv
from cscbench.content.extras import require_extra
from cscbench.content.overrides import Override, merged, nested
from cscbench.content.prompts import NamedPrompt, read_prompt
from cscbench.content.rubrics import Rubric, read_rubric
from cscbench.content.shipped import folders, inside
from cscbench.content.task_file import DataFiles, HubFile, TaskFile
from cscbench.values import CSC, Condition, Dialogue, Frozen, Language, StrategySet, UserError


class TaskData(Frozen, frozen=True):
    """The dialogues of a task: `test` is scored; `train`, for baselines and fine-tuning, may be empty."""

    test: tuple[Dialogue, ...]
    train: tuple[Dialogue, ...] = ()
    faults: tuple[Fault, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    notes: tuple[str, ...] = ()


class Task(Frozen, frozen=True):
    """Everything that a run needs to know about a task.

    `load` takes the `--data` path or None; `load_unlabelled` is used when turns need no labels (None: use `load`).
    `prompt` takes the name of a prompt set, a language and a condition. `files` maps the name of each file that defines
    the task to its sha256, as part of a run's identity. `rubric`, for tasks whose replies can be judged, takes the name
    of a rubric set and a language; `anchors` is a file of rated conversations for calibrating judges.
    """

    name: str
    title: str
    description: str
    load: Callable[[Path | None], TaskData]
    prompt: Callable[[str, Language, Condition], NamedPrompt]
    scorers: tuple[str, ...]
    encoder: str = ""
    strategies: StrategySet = CSC
    files: Mapping[str, str] = {}
    rubric: Callable[[str, Language], Rubric] | None = None
    anchors: Path | None = None
    load_unlabelled: Callable[[Path | None], TaskData] | None = None

    def dialogues(self, data: Path | None, condition: Condition) -> TaskData:
        """Load the task's dialogues, or those of a `--data` path, for a condition.

        Raises:
            UserError: a file is missing, or has no readable dialogue.
        """
        if condition.needs_labels or self.load_unlabelled is None:
            return self.load(data)
        return self.load_unlabelled(data)


def task_folders() -> dict[str, Path]:
    """Return every task folder by name; folders in the working directory hide shipped ones of the same name."""
    tasks: dict[str, Path] = {}
    for folder in folders("tasks"):
        for path in sorted(folder.iterdir()):
            if (path / "task.yaml").is_file() or (path / "task.py").is_file():
                tasks.setdefault(path.name, path)
    return tasks


def task_names() -> list[str]:
    """Return the names of all tasks, sorted."""
    return sorted({*task_folders(), *plugins.names("tasks")})


def find_task(name: str, overrides: Sequence[Override] = ()) -> Task:
    """Find a task by name, and apply the overrides of `task` and `data`.

    Raises:
        UserError: no task has this name (with the nearest names), the task is invalid, or an override does not fit it.
    """
    task = _find(name, (), nested(overrides, "data"))
    return msgspec.structs.replace(task, **nested(overrides, "task"))


def _find(name: str, extended_by: tuple[str, ...], data: Mapping[str, Any]) -> Task:
    """Find a task; `extended_by` names the tasks whose `extends` led here, to detect a cycle."""
    folder, points = task_folders().get(name), plugins.names("tasks")
    if folder is not None and (folder / "task.yaml").is_file():
        return _from_yaml(folder, extended_by, data)
    if folder is None and name not in points:
        known = yaml_file.did_you_mean(name, task_names())
        raise UserError(f"no task {name!r}{known}\nTo list all tasks: cscbench tasks")
    if data:
        raise UserError(f"--set data.{min(data)}: {name} is written in Python and reads its own data: use --data PATH")
    if folder is not None:
        return _from_python(folder / "task.py")
    return _make_task(plugins.load(points[name]), points[name].value, name)


def _from_yaml(folder: Path, extended_by: tuple[str, ...], overrides: Mapping[str, Any]) -> Task:
    path = folder / "task.yaml"
    text = yaml_file.read_text(path, "task")
    data, lines = yaml_file.parse(path, text)
    spec = yaml_file.to_struct(path, data, lines, TaskFile)
    if spec.name != folder.name:
        raise UserError(
            f"{path}:{lines[('name',)]}: field `name`: {spec.name!r} must match the folder name, {folder.name!r}"
        )
    if spec.extends in (chain := (*extended_by, spec.name)):
        cycle = " extends ".join((*chain, spec.extends))
        raise UserError(f"{path}:{lines[('extends',)]}: field `extends`: a task cannot extend itself: {cycle}")
    for field in ("test", "train"):
        value = getattr(spec.data, field)
        if value and inside(folder, value) is None:
            raise UserError(
                f"{path}:{lines[('data', field)]}: field `data.{field}`: {value!r} is outside the task's folder: move "
                "the file into it"
            )
    if spec.extends and spec.extends not in (known := task_names()):
        hint = yaml_file.did_you_mean(spec.extends, known)
        raise UserError(f"{path}:{lines[('extends',)]}: field `extends`: no task {spec.extends!r}{hint}")
    base = _find(spec.extends, chain, {}) if spec.extends else None
    spec = msgspec.structs.replace(spec, data=_with(spec.data, overrides))
    prompts = folder / "prompts"
    if base is None and not prompts.is_dir():
        raise UserError(f"{prompts}: no such folder: add prompts, or set `extends` to a task that has them")
    strategies = base.strategies if base else CSC
    rubrics, anchors = folder / "rubrics", folder / "anchors.csv"
    prompt = base.prompt if base and not prompts.is_dir() else partial(read_prompt, prompts, strategies=strategies)
    return Task(
        name=spec.name,
        title=spec.title,
        description=spec.description.strip(),
        load=partial(_load, spec, folder, strategies),
        load_unlabelled=partial(_load, spec, folder, strategies, labels=False),
        prompt=prompt,
        scorers=spec.scorers or (base.scorers if base else ()),
        encoder=spec.encoder or (base.encoder if base else ""),
        strategies=strategies,
        anchors=anchors if anchors.is_file() else (base.anchors if base else None),
        rubric=partial(read_rubric, rubrics) if rubrics.is_dir() else (base.rubric if base else None),
        files={**(base.files if base else {}), f"{spec.name}/task.yaml": hashlib.sha256(text.encode()).hexdigest()},
    )


def _with(files: DataFiles, overrides: Mapping[str, Any]) -> DataFiles:
    """Apply overrides to the data files; their paths are relative to the working directory."""
    if not overrides:
        return files
    given = {field: resolve_cli_path(path) for field, path in overrides.items() if field in ("test", "train")}
    if "hub" in overrides and (given.get("test") or files.test):
        raise UserError(f"--set data.hub.{min(overrides['hub'])}: the task reads {given.get('test') or files.test}")
    try:
        return msgspec.convert(merged(msgspec.to_builtins(files), {**overrides, **given}), DataFiles)
    except msgspec.ValidationError as error:
        raise UserError(f"--set data.hub: {error}") from None


def _from_python(path: Path) -> Task:
    spec = importlib.util.spec_from_file_location(f"cscbench_task_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: Python cannot import this file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # user code can raise anything; a broken task must not hide the others
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [1])[-1]
        raise UserError(f"{path}:{line}: the task does not load: {type(error).__name__}: {error}") from error
    task = _make_task(getattr(module, "task", None), str(path), path.parent.name)
    # The file's content is part of the task's identity: after an edit, a run is a different run.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return msgspec.structs.replace(task, files={**task.files, f"{task.name}/task.py": sha256})


def _make_task(factory: object, where: str, name: str) -> Task:
    if not callable(factory):
        raise UserError(f"{where}: no function `task() -> Task`: define it")
    task = factory()
    if not isinstance(task, Task):
        raise UserError(f"{where}: `task()` returned a {type(task).__name__}, not a cscbench.content.tasks.Task")
    if task.name != name:
        raise UserError(f"{where}: `task()` returned a task named {task.name!r}: its name must be {name!r}")
    return task


def task_data(test: Loaded, train: Loaded | None = None) -> TaskData:
    """Combine the loaded files of a task, with their faults, notes and hashes."""
    parts = (test,) if train is None else (test, train)
    return TaskData(
        test=test.dialogues,
        train=train.dialogues if train else (),
        faults=tuple(fault for part in parts for fault in part.faults),
        sources=tuple(part.source for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _load(spec: TaskFile, folder: Path, strategies: StrategySet, data: Path | None, *, labels: bool = True) -> TaskData:
    if data is not None:
        test = load_csconv(data, strategies, labels=labels)
    elif spec.data.test:
        test = load_csconv(folder / spec.data.test, strategies, labels=labels)
    elif spec.data.hub is not None:
        test = load_csconv(_download(spec.name, spec.data.hub), strategies, labels=labels)
    else:
        raise UserError(f"{spec.name}: this task has no data: add --data PATH")
    train = load_csconv(folder / spec.data.train, strategies, labels=labels) if spec.data.train else None
    return task_data(test, train)


def _download(name: str, hub: HubFile) -> Path:
    require_extra("scores", ["huggingface_hub"], f"downloading {hub.file} (unless you add --data PATH)")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub.repo, hub.file, repo_type="dataset", revision=hub.revision or None))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{name}: {hub.file} from the Hugging Face dataset {hub.repo} is not in the local cache and cannot be "
            f"downloaded ({type(error).__name__}).\n"
            f"Download https://huggingface.co/datasets/{hub.repo}/resolve/{hub.revision or 'main'}/{hub.file}\n"
            f"save it as {hub.file}, and add: --data {hub.file}"
        ) from None
