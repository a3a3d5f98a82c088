"""Parse a model's text into a strategy and a reply, and record its format.

Models answer in many formats: JSON, `[strategy] reply`, `策略7 信息传达：reply`, labeled lines, with or without a code
fence, a reasoning block, half- or full-width punctuation. Text in no known format has no strategy, and all of it is the
reply; if only the label is unknown (`{"strategy": "Chat", "reply": "Hi"}`), only the reply is kept.
"""

import json
import re
from typing import Any

from cscbench.values import Frozen, ParseForm, Step, StrategySet, UnknownStrategyError, by_code, normalise


class Parsed(Frozen, frozen=True):
    """`strategy` is a code or None; `text` is the reply without label, fence and reasoning."""

    strategy: str | None
    text: str
    form: ParseForm


_THINK = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THINK_END = re.compile(r"^.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_THINK_OPEN = re.compile(r"<(?:think|thinking|reasoning)>.*$", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|$)", re.DOTALL)
# Quantifiers are possessive (`*+`): a model that repeats one mark endlessly must not take quadratic time.
_MARKS = r"[*_#\s]*+"
_CLOSE = r"\]］】〕)）」>》"
# A separator counts only directly after the bracket: in `[Greeting] - one` the dash belongs to the reply.
_BRACKET = re.compile(
    rf"{_MARKS}[\[［【〔(（「<《]([^{_CLOSE}\n]{{1,60}})[{_CLOSE}]{{1,2}}[*_]*+(?:[:：\-—][*_]*+)?\s*+(.*)", re.DOTALL
)
_PREFIX = re.compile(rf"{_MARKS}([^:：\n]{{1,60}}?)[:：][*_]*+\s*+(.*)", re.DOTALL)
_LINE = re.compile(rf"{_MARKS}([^\n]{{1,60}})\n+(.*)", re.DOTALL)
_NUMBERED_PREFIX = re.compile(
    r"\s*((?:策略|[Ss]trategy)\s*[0-9０-９]{1,2}\s*[^\s，。,.:：]{1,12})[\s，,。]+(.*)", re.DOTALL
)
_ONLY_NUMBER = re.compile(r"\W*(?:策略|strategy)\W*\d{1,2}\W*", re.IGNORECASE)
_STRATEGY_KEY = r"(?:support(?:er)?[ _]?strategy|strategy|策略|支持策略|客服策略)"
_REPLY_KEY = r"(?:reply|response|utterance|text|answer|(?:客服)?(?:回复|回答|话术|话语|答复|内容))"
_FIELDS = re.compile(
    rf"{_MARKS}{_STRATEGY_KEY}[*_\s]*+[:：][*_\s]*+(?P<label>[^\n]{{1,60}}?)[\s，,;；。|][*_#\s，,;；。|]*+"
    rf"{_REPLY_KEY}[*_\s]*+[:：][*_]*+\s*+(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)
_QUOTES = "\"'“”‘’"
# Invalid JSON that models write: single or full-width quotes, or cut off by the token limit.
_LOOSE_JSON = re.compile(
    rf"[{{｛]\s*+[{_QUOTES}]?{_STRATEGY_KEY}[{_QUOTES}]?\s*+[:：]\s*+[{_QUOTES}](?P<label>[^{_QUOTES}\n]{{1,60}})[{_QUOTES}]"
    rf"\s*+[,，]\s*+[{_QUOTES}]?{_REPLY_KEY}[{_QUOTES}]?\s*+[:：]\s*+[{_QUOTES}](?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)


def parse(text: str, step: Step, strategies: StrategySet) -> Parsed:
    """Parse the answer to a step's request.

    For a reply alone, a label at the start is removed, and the strategy is None with form `given`. For a strategy
    alone, the label may be the whole text or have any of the joint formats. Of several joined labels the first counts.
    """
    visible = _visible(text)
    labeled = _labeled(visible, strategies) or _labeled(_unfenced(visible), strategies)
    if step is Step.REPLY:
        return Parsed(None, labeled.text if labeled and labeled.text else visible, ParseForm.GIVEN)
    return labeled or Parsed(None, visible, ParseForm.UNPARSED)


def _visible(text: str) -> str:
    """Remove reasoning: closed blocks, a block whose opening tag the chat template wrote, and one cut off midway."""
    text = _THINK.sub("", text)
    text = _THINK_END.sub("", text)
    return _THINK_OPEN.sub("", text).strip()


def _unfenced(text: str) -> str:
    fence = _FENCE.search(text)
    return fence[1].strip() if fence and fence[1].strip() else text


def _labeled(body: str, strategies: StrategySet) -> Parsed | None:
    return (
        _match(_BRACKET, body, ParseForm.BRACKET, strategies)
        or _json(body, strategies)
        or _loose_json(body, strategies)
        or _fields(body, strategies)
        or _match(_PREFIX, body, ParseForm.PREFIX, strategies)
        or _match(_NUMBERED_PREFIX, body, ParseForm.PREFIX, strategies)
        or _match(_LINE, body, ParseForm.PREFIX, strategies)
        or _bare(body, strategies)
    )


def _code(label: str, strategies: StrategySet) -> str | None:
    try:
        return normalise(label, strategies)[0]
    except UnknownStrategyError:
        return None


def _match(pattern: re.Pattern[str], body: str, form: ParseForm, strategies: StrategySet) -> Parsed | None:
    match = pattern.fullmatch(body)
    if match is None or not any(map(str.isalpha, match[1])):  # "(1) Open the app" numbers a step; it names no strategy
        return None
    code = _code(match[1], strategies)
    if code is None:
        return None
    text = _cut_name(match[2], code, strategies) if _ONLY_NUMBER.fullmatch(match[1]) else match[2].strip()
    return Parsed(code, text, form if text else ParseForm.LABEL)


def _cut_name(text: str, code: str, strategies: StrategySet) -> str:
    """In `策略7：信息传达：...` the name after the number belongs to the label."""
    strategy = by_code(code, strategies)
    names = "|".join(re.escape(name) for name in (strategy.en, strategy.zh, strategy.code))
    return re.sub(rf"^{_MARKS}(?:{names})[*_]*+(?:[\s:：,，.。\-—]++|$)", "", text, flags=re.IGNORECASE).strip()


def _separated(label: str, text: str, form: ParseForm, strategies: StrategySet) -> Parsed:
    """Parse a format with a separate reply, which is kept even if the label is unknown."""
    code = _code(label, strategies)
    return Parsed(code, text.strip(), form if code else ParseForm.UNPARSED)


def _fields(body: str, strategies: StrategySet) -> Parsed | None:
    match = _FIELDS.fullmatch(body)
    return _separated(match["label"], match["text"], ParseForm.FIELDS, strategies) if match else None


def _bare(body: str, strategies: StrategySet) -> Parsed | None:
    code = _code(body, strategies) if len(body) <= 60 else None
    return Parsed(code, "", ParseForm.LABEL) if code else None


def _json(body: str, strategies: StrategySet) -> Parsed | None:
    start = body.find("{")
    if start < 0:
        return None
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(body[start:])
    except (ValueError, RecursionError):  # also for numbers with thousands of digits, and deep nesting
        return None
    label, text = _value(data, _STRATEGY_KEY), _value(data, _REPLY_KEY)
    if _code(label, strategies) is None and (start or not text.strip()):  # braces within ordinary text
        return None
    return _separated(label, text, ParseForm.JSON, strategies)


def _loose_json(body: str, strategies: StrategySet) -> Parsed | None:
    match = _LOOSE_JSON.fullmatch(body)
    if match is None:
        return None
    text = match["text"].rstrip().rstrip("}｝").rstrip().rstrip(_QUOTES)
    return _separated(match["label"], text, ParseForm.JSON, strategies)


def _value(data: dict[str, Any], key: str) -> str:
    for name, value in data.items():
        if re.fullmatch(key, name.strip(), re.IGNORECASE) and isinstance(value, str | int):
            return str(value)
    return ""
