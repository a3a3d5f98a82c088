"""Convert YAML that people write to checked values, with errors that name file, line, field and fix."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
import yaml

from cscbench.content.yaml_loader import BoundedLoader, RefusedError
from cscbench.values import UserError

T = TypeVar("T", bound=msgspec.Struct)
Lines = dict[tuple[str, ...], int]
# The longest shipped file has 10,000 characters with its prose; reading a million takes a second.
MAX_TEXT = 1_000_000


def _positions(node: yaml.Node, path: tuple[str, ...], lines: Lines, offset: int) -> None:
    lines[path] = node.start_mark.line + 1 + offset
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _positions(value, (*path, str(key.value)), lines, offset)
            lines[(*path, str(key.value))] = key.start_mark.line + 1 + offset
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _positions(value, (*path, str(index)), lines, offset)


def _unique_keys(node: yaml.Node, path: Path, offset: int) -> None:
    """Reject duplicate keys: YAML silently lets the later one win."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1 + offset
            if not isinstance(key, yaml.ScalarNode):
                raise UserError(f"{path}:{line}: not usable YAML: a key is a list or a mapping: use a string")
            if key.value in seen:
                first = seen[key.value]
                raise UserError(f"{path}:{line}: duplicate key `{key.value}` (first in line {first}): remove one")
            seen[key.value] = line
            _unique_keys(value, path, offset)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _unique_keys(value, path, offset)


def parse(path: Path, text: str, offset: int = 0) -> tuple[Any, Lines]:
    """Parse YAML; also return the line of every node by its path of keys.

    `offset` is the number of lines in the file before `text`.

    Raises:
        UserError: the text is not YAML, has a duplicate key, or is larger or deeper than `yaml_loader` allows.
    """
    _check_length(path, text, "file")
    lines: Lines = {}
    data = None
    try:
        loader = BoundedLoader(text)
        node = loader.get_single_node()
        if node is not None:
            # Before constructing data, which resolves merge keys (`<<`) in place.
            _unique_keys(node, path, offset)
            _positions(node, (), lines, offset)
            data = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 + offset if mark is not None else 1 + offset
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        quality = "usable" if isinstance(error, RefusedError) else "valid"
        raise UserError(f"{path}:{line}: not {quality} YAML: {problem}") from None
    return data, lines


def nearest(name: str, known: Sequence[str], limit: int = 3) -> list[str]:
    """Return the known names most similar to `name`, best first."""
    from rapidfuzz import fuzz, process

    matches = process.extract(name, list(known), scorer=fuzz.WRatio, limit=limit, score_cutoff=55)
    return [match for match, _, _ in matches]


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` or `; known: ...`, to append to an error."""
    close = nearest(name, known)
    if close:
        return f"; did you mean {' or '.join(repr(c) for c in close)}?"
    return f"; known: {', '.join(sorted(known)) or 'none'}"


def _path_and_problem(message: str) -> tuple[tuple[str, ...], str]:
    """Split msgspec's message `problem - at `$.a[0].b`` into the path's keys and the problem."""
    problem, _, at = message.partition(" - at ")
    keys = re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", at)
    return tuple(name or index for name, index in keys), problem


def _line_of(keys: tuple[str, ...], lines: Lines) -> int:
    while keys and keys not in lines:
        keys = keys[:-1]
    return lines.get(keys, 1)


def _fields_at(into: type[msgspec.Struct], keys: Sequence[str]) -> tuple[str, ...]:
    """Return the field names of the struct at `keys` in an `into`, or nothing if no struct is there."""
    at: Any = into
    for key in keys:
        if not key.isdigit() and key != "...":
            hint = get_type_hints(at).get(key)
            inner = (hint, *get_args(hint))
            at = next((t for t in inner if isinstance(t, type) and issubclass(t, msgspec.Struct)), None)
        if at is None:
            return ()
    return tuple(at.__struct_encode_fields__)


def unknown_field_hint(message: str, into: type[msgspec.Struct]) -> str:
    """Return the nearest names if msgspec's message about an `into` reports an unknown field, or else nothing."""
    keys, problem = _path_and_problem(message)
    unknown = re.search(r"unknown field `([^`]+)`", problem)
    return did_you_mean(unknown[1], _fields_at(into, keys)) if unknown else ""


def to_struct(path: Path, data: Any, lines: Lines, into: type[T], under: tuple[str, ...] = ()) -> T:
    """Convert `data` to the type `into`; `under` is the path of `data` in the file.

    Raises:
        UserError: a field is missing, unknown or of the wrong type; the message has file, line and nearest name.
    """
    try:
        return msgspec.convert(data, into, strict=True)
    except msgspec.ValidationError as error:
        keys, problem = _path_and_problem(str(error))
        keys, hint = (*under, *keys), unknown_field_hint(str(error), into)
        unknown = re.search(r"unknown field `([^`]+)`", problem)
        if unknown:
            keys = (*keys, unknown[1])
        field = ".".join(keys)
        at = f"{path}:{_line_of(keys, lines)}: "
        raise UserError(f"{at}{f'field `{field}`: ' if field else ''}{problem}{hint}") from None


def read_text(path: Path, what: str, max_length: int = MAX_TEXT) -> str:
    """Read a text file of at most `max_length` characters; `what` describes it in errors.

    Raises:
        UserError: the file is missing, not readable, not UTF-8, or too long.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:  # Windows editors start files with a byte order mark
            text = file.read(max_length + 1)  # bounded: /dev/zero never ends
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}: save the {what} as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read this {what}: {error.strerror}") from None
    _check_length(path, text, what, max_length)
    return text


def _check_length(path: Path, text: str, what: str, max_length: int = MAX_TEXT) -> None:
    if len(text) > max_length:
        raise UserError(f"{path}: longer than {max_length:,} characters: is this the right {what}? If so, shorten it")
