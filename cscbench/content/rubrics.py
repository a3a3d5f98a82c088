"""Rubrics: files `rubrics/<set>/<language>.yaml` in a task's folder, and the judge's messages built from them.

A rubric has `dimensions` (each a code and a question), the `system` message, a template for each level, `retry` for an
answer that cannot be parsed, and `score`, which asks for the overall stars only. `customer` and `supporter` are the
speaker names that a judge sees, never a model's name.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from cscbench.content import yaml_file
from cscbench.content.prompts import render
from cscbench.values import HIGHEST, LOWEST, ChatRole, Frozen, Item, Language, Message, TranscriptLine, UserError


class AnswerForm(StrEnum):
    """The format of a judge's answer: a JSON object with all dimensions, or text that ends in `[RESULT] 4`."""

    JSON = "json"
    RESULT = "result"


class Dimension(Frozen, frozen=True):
    """One rated aspect: `code` names its metric, `asks` describes it to the judge."""

    code: str
    asks: str


class RubricFile(Frozen, frozen=True):
    """A rubric file as written."""

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
    """A rubric with the name and hash that signatures include; its templates were test-rendered when it was read."""

    name: str
    sha256: str
    file: RubricFile


class Stars(Frozen, frozen=True):
    """The ratings parsed from one answer."""

    overall: int
    dimensions: tuple[int, ...]
    reason: str


def read_rubric(root: Path, rubric_set: str, language: Language) -> Rubric:
    """Read the rubric of a set and language from a task's `rubrics` folder.

    Raises:
        UserError: the set or file does not exist, the YAML is invalid, or a template fails to render.
    """
    known = [path.name for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    if rubric_set not in known:
        raise UserError(f"{root}: no rubric set {rubric_set!r}{yaml_file.did_you_mean(rubric_set, known)}")
    path = root / rubric_set / f"{language}.yaml"
    text = yaml_file.read_text(path, "rubric")
    data, lines = yaml_file.parse(path, text)
    file = yaml_file.to_struct(path, data, lines, RubricFile)
    if file.answer is AnswerForm.RESULT and file.dimensions:
        line = lines["dimensions",]
        raise UserError(
            f"{path}:{line}: field `dimensions`: a [RESULT] answer has only one score: use `dimensions: []`"
        )
    rubric = Rubric(f"{root.parent.name}/{rubric_set}/{language}", hashlib.sha256(text.encode()).hexdigest(), file)
    _test_render(path, lines, rubric)
    return rubric


def _test_render(path: Path, lines: yaml_file.Lines, rubric: Rubric) -> None:
    """Test-render each template; an error gives its line in the file."""

    def at(field: str) -> Rubric:
        return msgspec.structs.replace(rubric, name=f"{path}:{lines[field,]}")

    conversation = (TranscriptLine(rubric.file.customer, "text"),)
    _system(at("system"))
    ask(at("turn"), Item("d", 0, Language.EN, conversation, "text"))
    ask(at("dialogue"), Item("d", 0, Language.EN, conversation, None))
    retry(at("retry"))


def ask(rubric: Rubric, item: Item) -> tuple[Message, ...]:
    """Return the messages that ask a judge to rate an item.

    Raises:
        UserError: a template fails to render with this item's words, or exceeds a limit.
    """
    field, template = ("dialogue", rubric.file.dialogue) if item.reply is None else ("turn", rubric.file.turn)
    lines = [TranscriptLine(line.speaker, _prompt_safe(line.text)) for line in item.lines]
    words = {"lines": lines, "reply": _prompt_safe(item.reply or ""), "dimensions": rubric.file.dimensions}
    return _system(rubric), Message(ChatRole.USER, _render(rubric, field, template, words))


def _system(rubric: Rubric) -> Message:
    words = {"dimensions": rubric.file.dimensions}
    return Message(ChatRole.SYSTEM, _render(rubric, "system", rubric.file.system, words))


def _render(rubric: Rubric, field: str, template: str, words: Mapping[str, object]) -> str:
    return render(template, words, f"{rubric.name}: field `{field}`")


def _prompt_safe(text: str) -> str:
    """Put the text on one line and remove the tags that delimit it in a prompt."""
    return re.sub(r"</?(conversation|reply)>", "", " ".join(text.split()), flags=re.IGNORECASE)


def retry(rubric: Rubric) -> Message:
    """Return the message that follows an answer that cannot be parsed."""
    words = {"dimensions": rubric.file.dimensions}
    return Message(ChatRole.USER, _render(rubric, "retry", rubric.file.retry, words))


def read_stars(rubric: Rubric, text: str) -> Stars | None:
    """Parse the stars in an answer; None if any are missing or not whole numbers from 1 to 5."""
    if rubric.file.answer is AnswerForm.RESULT:
        return _read_result(text)
    decoder = json.JSONDecoder()
    for start in re.finditer(r"\{", text):
        try:
            answer, _ = decoder.raw_decode(text, start.start())
        except ValueError:
            continue
        if isinstance(answer, dict) and "stars" in answer:
            return _read_object(answer, rubric)
    return None


def _read_object(answer: dict[str, Any], rubric: Rubric) -> Stars | None:
    stars = answer["stars"]
    if not isinstance(stars, dict):
        return None
    overall = _star(stars.get("overall"))
    dimensions = [_star(stars.get(dimension.code)) for dimension in rubric.file.dimensions]
    valid = tuple(star for star in dimensions if star is not None)
    if overall is None or len(valid) < len(dimensions):
        return None
    return Stars(overall, valid, str(answer.get("reason", "")).strip())


def _star(value: object) -> int | None:
    """Parse a whole star from a number or a string."""
    if isinstance(value, str) and re.fullmatch(r"\s*[1-5]\s*", value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and LOWEST <= value <= HIGHEST:
        return int(value) if value == int(value) else None
    return None


def _read_result(text: str) -> Stars | None:
    match = re.search(r"\[RESULT\]\s*\(?\s*([1-5])(?![\d.])", text, re.IGNORECASE)
    if match is None:
        return None
    reason = re.sub(r"^\s*feedback:\s*", "", text[: match.start()], flags=re.IGNORECASE)
    return Stars(int(match[1]), (), reason.strip())
