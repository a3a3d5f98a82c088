"""`--set PATH=VALUE`: one field of the card, the task, its data or the judging, for one command."""

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
    """One field's value: `keys` lead to it from `card`, `task`, `data` or `judge`; `value` has the field's type."""

    keys: tuple[str, ...]
    value: Any

    @property
    def path(self) -> str:
        """The path as the command line spells it."""
        return ".".join(self.keys)


# An adapter or encoder checks its options itself.
_OPTIONS = "card.options."
# Each root with its type, and the fields that other options or the file's own name set.
_ROOTS: Mapping[str, tuple[type[msgspec.Struct], tuple[str, ...]]] = {
    "card": (ModelCard, ("name", "options")),
    "task": (TaskFile, ("name", "extends", "data")),
    "data": (DataFiles, ()),
    "judge": (JudgeOptions, ("cards",)),
}


def known_fields() -> dict[str, Any]:
    """The type of each field that can be set, by its path; any `card.options.NAME` can be set besides."""
    return {
        path: kind
        for root, (struct, fixed) in _ROOTS.items()
        for path, kind in _fields(root, struct)
        if path.split(".")[1] not in fixed
    }


def _fields(prefix: str, struct: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    for name, hint in get_type_hints(struct).items():
        inner = next((kind for kind in (hint, *get_args(hint)) if _is_struct(kind)), None)
        yield from _fields(f"{prefix}.{name}", inner) if inner is not None else [(f"{prefix}.{name}", hint)]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def read_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """The values by path that the command line gives as PATH=VALUE; VALUE is YAML, or for a text field the text itself.

    Raises:
        UserError: a text has no `=`, its path names no field or is given twice, or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write PATH=VALUE, for example {EXAMPLE}")
        if path in values:
            raise UserError(f"--set {path} is given twice: keep one")
        values[path] = value if _field_type(path) is str else _yaml(path, value)
    return values


def _yaml(path: str, value: str) -> Any:
    try:
        return yaml.load(value, BoundedLoader)  # noqa: S506 - a safe loader with bounds
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"--set {path}: the value is not valid YAML: {problem}") from None


def check_overrides(values: Mapping[str, Any]) -> tuple[Override, ...]:
    """The values by path as overrides, in the order of their paths.

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
    """The overrides below a root as a mapping of mappings, for merging into what a file says."""
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
    """A mapping with another one's values in place, key by key."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def published(overrides: Sequence[Override], machine_options: Sequence[str]) -> tuple[str, ...]:
    """The overrides as run.json shows them: PATH=VALUE without what only this machine knows."""
    local = {("card", "options", name) for name in machine_options}
    return tuple(f"{override.path}={_shown(override.value)}" for override in overrides if override.keys not in local)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return "PATH" if value.startswith(("/", "~", "./", "../")) else value
    return msgspec.json.encode(value).decode()
