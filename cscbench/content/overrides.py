"""`--set PATH=VALUE`: override a field of the card, the task, its data or the judging for one command."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_type_hints

import msgspec
import yaml

from cscbench.content.task_file import DataFiles, TaskFile
from cscbench.content.yaml_file import nearest
from cscbench.content.yaml_loader import BoundedLoader
from cscbench.values import Frozen, JudgeOptions, ModelCard, UserError

EXAMPLE = "--set card.sampling.max_tokens=64"


class Override(Frozen, frozen=True):
    """A new value for one field: `keys` is its path from `card`, `task`, `data` or `judge`."""

    keys: tuple[str, ...]
    value: Any

    @property
    def path(self) -> str:
        """Return the path as written on the command line."""
        return ".".join(self.keys)


# Adapters and encoders check their own options.
_OPTIONS = "card.options."
_ROOTS: Mapping[str, type[msgspec.Struct]] = {
    "card": ModelCard,
    "task": TaskFile,
    "data": DataFiles,
    "judge": JudgeOptions,
}
# The file name or other options set these: --model, --task, --seed, --judge.
_SET_ELSEWHERE = (
    "card.name",
    "card.options",
    "card.sampling.seed",
    "task.name",
    "task.extends",
    "task.data",
    "judge.cards",
)


def known_fields() -> dict[str, Any]:
    """Return the type of each field that can be set, by path; any `card.options.NAME` can also be set."""
    return {
        path: field_type
        for root, struct in _ROOTS.items()
        for path, field_type in _fields(root, struct)
        if not f"{path}.".startswith(tuple(f"{fixed}." for fixed in _SET_ELSEWHERE))
    }


def _fields(prefix: str, struct: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    for name, hint in get_type_hints(struct, include_extras=True).items():
        inner = next((candidate for candidate in (hint, *get_args(hint)) if _is_struct(candidate)), None)
        yield from _fields(f"{prefix}.{name}", inner) if inner is not None else [(f"{prefix}.{name}", hint)]


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def read_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Parse PATH=VALUE texts into values by path; VALUE is YAML, or plain text for a text field.

    Raises:
        UserError: a text has no `=`, a path names no field or is repeated, or a value is not YAML.
    """
    values: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write PATH=VALUE, for example {EXAMPLE}")
        if path in values:
            raise UserError(f"--set {path} is listed twice: remove one")
        values[path] = value if _field_type(path) is str else _yaml(path, value)
    return values


def _yaml(path: str, value: str) -> Any:
    try:
        return yaml.load(value, BoundedLoader)  # noqa: S506 - a safe loader with bounds
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"--set {path}: the value is not valid YAML: {problem}") from None


def check_overrides(values: Mapping[str, Any]) -> tuple[Override, ...]:
    """Convert values by path to overrides, sorted by path.

    Raises:
        UserError: a path names no field (with the nearest path), or a value has the wrong type.
    """
    return tuple(_override(path, values[path]) for path in sorted(values))


def _override(path: str, value: Any) -> Override:
    try:
        checked = msgspec.convert(value, _field_type(path))
    except msgspec.ValidationError as error:
        problem = str(error)
        raise UserError(f"--set {path}={value}: {problem[:1].lower()}{problem[1:]}") from None
    return Override(tuple(path.split(".")), checked)


def _field_type(path: str) -> Any:
    if path.startswith(_OPTIONS) and all(path.split(".")):
        return Any
    fields = known_fields()
    if path not in fields:
        known = [*fields, f"{_OPTIONS}NAME"]
        close = nearest(path, known, 1)
        meant = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise UserError(f"--set {path}: no such field; {meant}")
    return fields[path]


def nested(overrides: Sequence[Override], root: str) -> dict[str, Any]:
    """Return the overrides under a root as nested mappings, to merge into a file's data."""
    tree: dict[str, Any] = {}
    for override in overrides:
        if override.keys[0] == root:
            *parents, last = override.keys[1:]
            branch = tree
            for key in parents:
                branch = branch.setdefault(key, {})
            branch[last] = override.value
    return tree


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings recursively; values of `over` win."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def published(overrides: Sequence[Override], machine_options: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides for run.json, as PATH=VALUE, without values that are specific to this machine."""
    local = {("card", "options", name) for name in machine_options}
    return tuple(f"{override.path}={_shown(override.value)}" for override in overrides if override.keys not in local)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return "PATH" if value.startswith(("/", "~", "./", "../")) else value
    return msgspec.json.encode(value).decode()
