"""A model's text to a strategy and a reply, and how it was understood.

Models answer in many shapes: JSON, `[strategy] reply`, `策略7 信息传达：reply`, labelled lines, with or without a code
fence, a reasoning block, half- or full-width marks. A text in none of them has no strategy and keeps its words.
"""

import json
import re
from typing import Any

from cscbench.records import Form, Frozen, Step
from cscbench.strategies import StrategySet, UnknownStrategyError, normalise


class Parsed(Frozen, frozen=True):
    """`strategy` is a code, or None; `text` is the reply without label, fence and reasoning."""

    strategy: str | None
    text: str
    form: Form


_THINK = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THINK_END = re.compile(r"^.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_THINK_OPEN = re.compile(r"<(?:think|thinking|reasoning)>.*$", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|$)", re.DOTALL)
_BRACKET = re.compile(
    r"\s*[*_#\s]*[\[［【〔(（「<《]([^\]］】〕)）」>》\n]{1,60})[\]］】〕)）」>》][*_]*\s*[:：\-—]?\s*(.*)", re.DOTALL
)
_PREFIX = re.compile(r"\s*[*_#\s]*([^:：\n]{1,60}?)[*_\s]*[:：]\s*[*_]*\s*(.*)", re.DOTALL)
_LINE = re.compile(r"\s*([^\n]{1,60})\n+(.*)", re.DOTALL)
_NUMBERED_PREFIX = re.compile(
    r"\s*((?:策略|[Ss]trategy)\s*[0-9０-９]{1,2}\s*[^\s，。,.:：]{1,12})[\s，,。]+(.*)", re.DOTALL
)
_STRATEGY_KEY = r"(?:support(?:er)?[ _]?strategy|strategy|策略|支持策略|客服策略)"
_REPLY_KEY = r"(?:reply|response|utterance|text|answer|回复|回答|话术|话语|答复|内容)"
_FIELDS = re.compile(
    rf"\s*[*_#\s]*{_STRATEGY_KEY}[*_\s]*[:：]\s*[*_]*\s*(?P<label>[^\n]{{1,60}}?)[*_\s，,;；]*(?:\n|\s)\s*"
    rf"[*_#\s]*{_REPLY_KEY}[*_\s]*[:：]\s*[*_]*\s*(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)


def parse(text: str, step: Step, strategies: StrategySet) -> Parsed:
    """What a model meant by `text`, given what it was asked for.

    Asked for a reply alone, a label in front is cut off and the strategy is None with form `given`. Asked for a
    strategy alone, the label may stand alone or in any of the joint shapes. A label that joins several counts as its
    first.
    """
    visible = _visible(text)
    body = _unfenced(visible)
    found = _labelled(body, strategies)
    if step is Step.REPLY:
        return Parsed(None, found.text if found and found.text else visible, Form.GIVEN)
    if found is not None:
        return found
    return Parsed(None, visible, Form.UNPARSED)


def _visible(text: str) -> str:
    """Without reasoning: closed blocks, one whose opening tag the chat template wrote, and one cut off midway."""
    text = _THINK.sub("", text)
    text = _THINK_END.sub("", text)
    return _THINK_OPEN.sub("", text).strip()


def _unfenced(text: str) -> str:
    fence = _FENCE.search(text)
    return fence[1].strip() if fence and fence[1].strip() else text


def _labelled(body: str, strategies: StrategySet) -> Parsed | None:
    return (
        _json(body, strategies)
        or _match(_BRACKET, body, Form.BRACKET, strategies)
        or _fields(body, strategies)
        or _match(_PREFIX, body, Form.PREFIX, strategies)
        or _match(_NUMBERED_PREFIX, body, Form.PREFIX, strategies)
        or _match(_LINE, body, Form.PREFIX, strategies)
        or _bare(body, strategies)
    )


def _code(label: str, strategies: StrategySet) -> str | None:
    try:
        return normalise(label, strategies)[0]
    except UnknownStrategyError:
        return None


def _match(pattern: re.Pattern[str], body: str, form: Form, strategies: StrategySet) -> Parsed | None:
    match = pattern.fullmatch(body)
    if match is None or match[1].strip().isdigit():  # "(1) Open the app" counts steps; it names no strategy
        return None
    code = _code(match[1], strategies)
    if code is None:
        return None
    text = match[2].strip()
    return Parsed(code, text, form if text else Form.LABEL)


def _fields(body: str, strategies: StrategySet) -> Parsed | None:
    match = _FIELDS.fullmatch(body)
    code = _code(match["label"], strategies) if match else None
    return Parsed(code, match["text"].strip(), Form.FIELDS) if match and code else None


def _bare(body: str, strategies: StrategySet) -> Parsed | None:
    code = _code(body, strategies) if len(body) <= 60 else None
    return Parsed(code, "", Form.LABEL) if code else None


def _json(body: str, strategies: StrategySet) -> Parsed | None:
    start = body.find("{")
    if start < 0:
        return None
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(body[start:])
    except json.JSONDecodeError:
        return None
    label = _value(data, _STRATEGY_KEY)
    code = _code(label, strategies) if label else None
    if code is None:
        return None
    text = _value(data, _REPLY_KEY).strip()
    return Parsed(code, text, Form.JSON)


def _value(data: dict[str, Any], key: str) -> str:
    for name, value in data.items():
        if re.fullmatch(key, name.strip(), re.IGNORECASE) and isinstance(value, str | int):
            return str(value)
    return ""
