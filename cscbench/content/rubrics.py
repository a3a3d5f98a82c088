"""Rubrics: files `rubrics/<set>/<language>.yaml` in a task's folder, and a judge's messages made from them.

A rubric has `dimensions` (a code, and what to ask), the `system` message, a template for each level, `retry` for an
answer that cannot be read, and `score`, which asks for the overall stars alone. `customer` and `supporter` are what a
judge sees as names: never a model's.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from cscbench.content import yaml_file as yamlfile
from cscbench.content.prompts import render
from cscbench.values import HIGHEST, LOWEST, ChatRole, Frozen, Item, Language, Message, TranscriptLine, UserError


class AnswerForm(StrEnum):
    """The form of a judge's answer: a JSON object with every dimension, or a text that ends in `[RESULT] 4`."""

    JSON = "json"
    RESULT = "result"


class Dimension(Frozen, frozen=True):
    """One aspect that is rated: `code` names its metric, `asks` says what it is."""

    code: str
    asks: str


class RubricFile(Frozen, frozen=True):
    """A rubric as it is written."""

    answer: AnswerForm
    dimensions: tuple[Dimension, ...]
    system: str
    customer: str
    supporter: str
    turn: str
    dialogue: str
    retry: str
    score: str
    max_tokens: int = 320


class Rubric(Frozen, frozen=True):
    """A rubric with the name and hash that signatures carry; its templates were tried when it was read."""

    name: str
    sha256: str
    file: RubricFile


class Stars(Frozen, frozen=True):
    """What was read from one answer."""

    overall: int
    dimensions: tuple[int, ...]
    reason: str


def read_rubric(root: Path, rubric_set: str, language: Language) -> Rubric:
    """The rubric of a set and language, below a task's `rubrics` folder.

    Raises:
        UserError: no such set or file, broken YAML, or a template that does not render.
    """
    known = [path.name for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    if rubric_set not in known:
        raise UserError(f"{root}: no rubric set {rubric_set!r}{yamlfile.did_you_mean(rubric_set, known)}")
    path = root / rubric_set / f"{language}.yaml"
    text = yamlfile.read_text(path, "rubric")
    data, lines = yamlfile.parse(path, text)
    file = yamlfile.convert(path, data, lines, RubricFile)
    if file.answer is AnswerForm.RESULT and file.dimensions:
        raise UserError(f"{path}:{lines['dimensions',]}: field `dimensions`: an answer [RESULT] has one score only")
    rubric = Rubric(f"{root.parent.name}/{rubric_set}/{language}", hashlib.sha256(text.encode()).hexdigest(), file)
    _try(path, lines, rubric)
    return rubric


def _try(path: Path, lines: yamlfile.Lines, rubric: Rubric) -> None:
    """Render each template; an error names its line in the file."""

    def at(field: str) -> Rubric:
        return msgspec.structs.replace(rubric, name=f"{path}:{lines[field,]}")

    said = (TranscriptLine(rubric.file.customer, "text"),)
    _system(at("system"))
    ask(at("turn"), Item("d", 0, Language.EN, said, "text"))
    ask(at("dialogue"), Item("d", 0, Language.EN, said, None))
    retry(at("retry"))


def ask(rubric: Rubric, item: Item) -> tuple[Message, ...]:
    """The messages that ask for an item's stars.

    Raises:
        UserError: a template does not render with this item's words, or takes too much.
    """
    field, template = ("dialogue", rubric.file.dialogue) if item.reply is None else ("turn", rubric.file.turn)
    lines = [TranscriptLine(line.speaker, _inert(line.text)) for line in item.lines]
    words = {"lines": lines, "reply": _inert(item.reply or ""), "dimensions": rubric.file.dimensions}
    return _system(rubric), Message(ChatRole.USER, _render(rubric, field, template, words))


def _system(rubric: Rubric) -> Message:
    words = {"dimensions": rubric.file.dimensions}
    return Message(ChatRole.SYSTEM, _render(rubric, "system", rubric.file.system, words))


def _render(rubric: Rubric, field: str, template: str, words: Mapping[str, object]) -> str:
    return render(template, words, f"{rubric.name}: field `{field}`")


def _inert(text: str) -> str:
    """One line, that cannot close the marks around it."""
    return re.sub(r"</?(conversation|reply)>", "", " ".join(text.split()), flags=re.IGNORECASE)


def retry(rubric: Rubric) -> Message:
    """What is said to an answer that cannot be read."""
    words = {"dimensions": rubric.file.dimensions}
    return Message(ChatRole.USER, _render(rubric, "retry", rubric.file.retry, words))


def read_stars(rubric: Rubric, text: str) -> Stars | None:
    """The stars in an answer; None where they cannot be read, one is missing, or one is no whole star from 1 to 5."""
    if rubric.file.answer is AnswerForm.RESULT:
        return _read_result(text)
    decoder = json.JSONDecoder()
    for start in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text, start.start())
        except ValueError:
            continue
        if isinstance(found, dict) and "stars" in found:
            return _read_object(found, rubric)
    return None


def _read_object(found: dict[str, Any], rubric: Rubric) -> Stars | None:
    stars = found["stars"]
    if not isinstance(stars, dict):
        return None
    overall = _star(stars.get("overall"))
    dimensions = [_star(stars.get(dimension.code)) for dimension in rubric.file.dimensions]
    known = tuple(star for star in dimensions if star is not None)
    if overall is None or len(known) < len(dimensions):
        return None
    return Stars(overall, known, str(found.get("reason", "")).strip())


def _star(value: object) -> int | None:
    """A whole star, also as a text."""
    if isinstance(value, str) and re.fullmatch(r"\s*[1-5]\s*", value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and LOWEST <= value <= HIGHEST:
        return int(value) if value == int(value) else None
    return None


def _read_result(text: str) -> Stars | None:
    found = re.search(r"\[RESULT\]\s*\(?\s*([1-5])(?![\d.])", text, re.IGNORECASE)
    reason = re.sub(r"^\s*feedback:\s*", "", text[: found.start()], flags=re.IGNORECASE) if found else ""
    return Stars(int(found[1]), (), reason.strip()) if found else None
