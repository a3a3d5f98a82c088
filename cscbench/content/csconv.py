"""Read the CSConv format: a JSON list, JSONL, or the Hub's parquet file, with records
`{"dialogue": [{"speaker", "strategy", "text"}, ...], "source": ...}` and optionally `id`, `language`, `topic` and
`cluster` (the same for dialogues that are not independent of each other).

A record that cannot be read is skipped and reported as a `Fault`; nothing is dropped silently.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from cscbench.content import parquet
from cscbench.content.extras import require_extra
from cscbench.values import (
    CSC,
    Dialogue,
    Frozen,
    Language,
    Speaker,
    StrategySet,
    Turn,
    UnknownStrategyError,
    UserError,
    normalise,
)

_SPEAKERS = {
    "客服": Speaker.SUPPORTER,
    "supporter": Speaker.SUPPORTER,
    "agent": Speaker.SUPPORTER,
    "客户": Speaker.CUSTOMER,
    "customer": Speaker.CUSTOMER,
    "user": Speaker.CUSTOMER,
}
_HAN = re.compile(r"[㐀-鿿豈-﫿\U00020000-\U0003ffff]")
# The Hub's automatic conversion merges CSConv (1,855) and RoleCS (11,232) into one split with this many rows.
_HUB_MIXED_ROWS = 13_087


class Fault(Frozen, frozen=True):
    """A skipped record: its file, its `index` (from 0), and the reason."""

    file: str
    index: int
    field: str
    reason: str


class SourceFile(Frozen, frozen=True):
    """A data file, identified by name and content: its path differs between machines."""

    name: str
    sha256: str


class Loaded(Frozen, frozen=True):
    """The content of one file: dialogues in order, skipped records, and notes for readers of the scores."""

    dialogues: tuple[Dialogue, ...]
    faults: tuple[Fault, ...]
    source: SourceFile
    notes: tuple[str, ...] = ()


class _BadRecordError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


def load_csconv(path: Path, strategies: StrategySet = CSC, *, labels: bool = True) -> Loaded:
    """Read a CSConv file (.json, .jsonl or .parquet). With `labels=False`, turns may lack a strategy.

    Raises:
        UserError: the file is missing, truncated, of another format, or has no readable dialogue.
    """
    content = _read(path)
    source = SourceFile(path.name, hashlib.sha256(content).hexdigest())
    dialogues: list[Dialogue] = []
    faults: list[Fault] = []
    ids: dict[str, int] = {}
    count = 0
    for index, record in _records(path, content):
        count += 1
        try:
            dialogue = _dialogue(record, index, strategies, labels)
            if dialogue.id in ids:
                raise _BadRecordError("id", f"{dialogue.id!r} is also the id of record {ids[dialogue.id]}")
        except _BadRecordError as bad:
            faults.append(Fault(path.name, index, bad.field, bad.reason))
            continue
        ids[dialogue.id] = index
        dialogues.append(dialogue)
    if not dialogues:
        first = f"; first fault: record {faults[0].index}, {faults[0].field}: {faults[0].reason}" if faults else ""
        raise UserError(f"{path}: none of its {count} records is a readable dialogue{first}")
    notes: tuple[str, ...] = ()
    if path.suffix.lower() == ".parquet" and count == _HUB_MIXED_ROWS:
        notes = (
            f"{path.name} has {count:,} rows: it is the Hub's converted split, which mixes CSConv (1,855) with RoleCS "
            "(11,232, training data). Scores on it are not CSConv scores: use data/CSConv.json",
        )
    return Loaded(tuple(dialogues), tuple(faults), source, notes)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read the data file: {error.strerror}") from None


def _records(path: Path, content: bytes) -> Iterator[tuple[int, Any]]:
    match path.suffix.lower():
        case ".json":
            yield from enumerate(_json_list(path, content))
        case ".jsonl" | ".ndjson":
            yield from _json_lines(content)
        case ".parquet":
            require_extra("scores", ["pyarrow"], f"reading {path.name}")
            import pyarrow

            try:
                table = parquet.read(content)
            except (pyarrow.ArrowException, OSError) as error:
                raise UserError(f"{path}: not a readable parquet file: {error}") from None
            yield from enumerate(table.to_pylist())
        case suffix:
            raise UserError(f"{path}: unknown data format {suffix!r}: use .json, .jsonl or .parquet")


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}: convert the file to UTF-8") from None


def _json_list(path: Path, content: bytes) -> list[Any]:
    text = _text(path, content)
    if not text.strip():
        raise UserError(f"{path}: the file is empty: download it again")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        truncated = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        hint = "the file is truncated: download it again" if truncated else "correct it there"
        if text.lstrip().startswith("{") and error.msg == "Extra data":
            hint = "the file has one record per line: rename it to .jsonl"
        raise UserError(f"{path}:{error.lineno}: not valid JSON (column {error.colno}): {error.msg}; {hint}") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, or deeply nested brackets
        raise UserError(f"{path}: not readable JSON: {error}") from None
    if not isinstance(data, list):
        hint = "put the dialogues in a list, or one per line in a .jsonl file"
        raise UserError(f"{path}: expected a JSON list of dialogues, got {_json_type(data)}: {hint}")
    return data


class _BrokenLine(Frozen, frozen=True):
    reason: str


def _json_lines(content: bytes) -> Iterator[tuple[int, Any]]:
    index = 0
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield index, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield index, _BrokenLine(f"line {number} is not valid JSON: {error}")
        index += 1


def _dialogue(record: Any, index: int, strategies: StrategySet, labels: bool) -> Dialogue:
    if isinstance(record, _BrokenLine):
        raise _BadRecordError("(record)", record.reason)
    if not isinstance(record, Mapping):
        raise _BadRecordError("(record)", f"expected an object, got {_json_type(record)}")
    turns_data = record.get("dialogue")
    if not isinstance(turns_data, list):
        raise _BadRecordError("dialogue", f"expected a list of turns, got {_json_type(turns_data)}")
    if not turns_data:
        raise _BadRecordError("dialogue", "no turns")
    turns = tuple(_turn(turn, position, strategies, labels) for position, turn in enumerate(turns_data))
    for position, (turn, following) in enumerate(pairwise(turns)):
        if turn.speaker == following.speaker:
            reason = f"two {turn.speaker} turns in a row ({position} and {position + 1}); speakers must alternate"
            raise _BadRecordError(f"dialogue[{position + 1}].speaker", reason)
    if not any(turn.speaker is Speaker.SUPPORTER for turn in turns):
        raise _BadRecordError("dialogue", "no supporter turn")
    return Dialogue(
        id=_optional(record, "id") or f"{index:05d}",
        turns=turns,
        language=_language(record, turns),
        topic=_optional(record, "topic"),
        source=_optional(record, "source"),
        cluster=_optional(record, "cluster"),
    )


def _turn(data: Any, position: int, strategies: StrategySet, labels: bool) -> Turn:
    at = f"dialogue[{position}]"
    if not isinstance(data, Mapping):
        raise _BadRecordError(at, f"expected an object, got {_json_type(data)}")
    speaker = _SPEAKERS.get(str(data.get("speaker", "")).strip().lower())
    if speaker is None:
        speaker_given = data.get("speaker")
        raise _BadRecordError(f"{at}.speaker", f"expected 客服 or 客户 (supporter or customer), got {speaker_given!r}")
    text = data.get("text")
    if not isinstance(text, str) or not text.strip():
        raise _BadRecordError(f"{at}.text", f"expected text, got {_json_type(text)}")
    label = data.get("strategy")
    if speaker is Speaker.CUSTOMER:
        if label and str(label).strip():
            raise _BadRecordError(f"{at}.strategy", f"a customer turn has no strategy, but this one has {label!r}")
        return Turn(speaker, _valid_text(text.strip(), f"{at}.text"))
    if not labels and (label is None or label == ""):
        return Turn(speaker, _valid_text(text.strip(), f"{at}.text"))
    if not isinstance(label, str) or not label.strip():
        hint = "; for data without labels, use --condition reply-only" if label is None else ""
        raise _BadRecordError(f"{at}.strategy", f"a supporter turn needs a strategy, got {_json_type(label)}{hint}")
    try:
        codes = normalise(label, strategies)
    except UnknownStrategyError as error:
        raise _BadRecordError(f"{at}.strategy", str(error)) from None
    if len(codes) != 1:
        raise _BadRecordError(f"{at}.strategy", f"expected one strategy per turn, but {label!r} joins {len(codes)}")
    return Turn(speaker, _valid_text(text.strip(), f"{at}.text"), codes[0])


def _optional(record: Mapping[str, Any], field: str) -> str:
    value = record.get(field)
    if value is None:
        return ""
    plain = isinstance(value, str | int | float)
    return _valid_text(str(value) if plain else json.dumps(value, ensure_ascii=False, sort_keys=True), field)


def _valid_text(text: str, field: str) -> str:
    r"""Return the text, but reject a lone surrogate: JSON can spell one (`\ud83d`), but UTF-8 cannot encode it."""
    if half := re.search(r"[\ud800-\udfff]", text):
        raise _BadRecordError(field, f"half a character ({half[0]!r}) at position {half.start()}")
    return text


def _language(record: Mapping[str, Any], turns: tuple[Turn, ...]) -> Language:
    given = record.get("language")
    if given is None:
        han = sum(1 for turn in turns if _HAN.search(turn.text))
        return Language.ZH if 2 * han >= len(turns) else Language.EN
    try:
        return Language(given)
    except ValueError:
        known = ", ".join(Language)
        raise _BadRecordError("language", f"{given!r} is not one of {known}") from None


_JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


def _json_type(value: Any) -> str:
    """Name the JSON type of a value for an error message."""
    if value is None:
        return "nothing"
    if value in ([], {}) or (isinstance(value, str) and not value.strip()):
        return "an empty value"
    return _JSON_TYPES.get(type(value), f"a {type(value).__name__}")
