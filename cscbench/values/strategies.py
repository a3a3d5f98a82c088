"""Support strategies and their stages, and the function that parses every spelling of a label.

The twelve CSC strategies and five stages come from "Evaluating, Synthesizing, and Enhancing for Customer Support
Conversation" (arXiv:2508.04423). Sources disagree on the stage of Information Delivery and Feedback Request, and
Emotional Management occurs in every stage: use stages to group tables, never to reject a label.
"""

import re
import unicodedata
from functools import cache

from cscbench.values.frozen import Frozen


class Stage(Frozen, frozen=True):
    """A phase of a support conversation."""

    code: str
    en: str
    zh: str


class Strategy(Frozen, frozen=True):
    """One label. `code` is its short form (GT); `stage` is the code of its stage, or empty if it has none."""

    code: str
    number: int
    en: str
    zh: str
    stage: str
    gloss_en: str
    gloss_zh: str


class StrategySet(Frozen, frozen=True):
    """The labels that a task uses, in order."""

    strategies: tuple[Strategy, ...]
    stages: tuple[Stage, ...]


class UnknownStrategyError(ValueError):
    """A label that matches no spelling of the set."""


_STAGES = (
    Stage("connecting", "Connecting", "欢迎和建立联系"),
    Stage("identifying", "Identifying", "理解和识别问题"),
    Stage("exploring", "Exploring", "寻求解决方案"),
    Stage("resolving", "Resolving", "解决和确认"),
    Stage("maintaining", "Maintaining", "结束和保持关系"),
)

_ROWS = (
    ("GT", "Greeting", "礼貌问候", "connecting",
     "a friendly opener and nothing else", "只作友好的开场问候"),
    ("IV", "Identity Verification", "确认身份", "connecting",
     "ask for personal details as a security check, after the greeting", "问候之后，核对客户个人信息以确保安全"),
    ("RP", "Restatement or Paraphrasing", "重述或转述", "identifying",
     "say the customer's issue back to confirm it, adding nothing new", "复述客户的问题以确认理解，不添加新内容"),
    ("PR", "Problem Refinement", "细化问题", "exploring",
     "ask focused questions to learn something new", "有针对性地提问，了解新的信息"),
    ("EM", "Emotional Management", "情感管理", "identifying",
     "show empathy when the customer's mood is clearly negative; other steps wait",
     "客户情绪明显负面时表示理解和安抚，其他步骤暂缓"),
    ("PS", "Providing Suggestions", "提供建议", "exploring",
     "propose concrete actions to the customer", "向客户提出具体可行的做法"),
    ("ID", "Information Delivery", "信息传达", "resolving",
     "state rules, facts or a process objectively, without advice", "客观说明规则、事实或流程，不给建议"),
    ("RI", "Resolution Implementation", "解决实施", "resolving",
     "start the actual handling, or report on it", "开始实际处理，或告知处理进展和结果"),
    ("FR", "Feedback Request", "反馈请求", "maintaining",
     "ask for an evaluation after the matter was handled", "处理之后请客户作出评价"),
    ("RC", "Relationship Continuation", "关系延续", "maintaining",
     "point to future service or follow-up", "提及后续服务或今后的联系"),
    ("AC", "Appreciation and Closure", "感谢与告别", "maintaining",
     "thank and say goodbye, without information or advice", "只作感谢和道别，不含信息或建议"),
    ("OT", "Others", "其它", "",
     "only when none of the other strategies fits", "仅当以上策略都不适用时使用"),
)  # fmt: skip

CSC = StrategySet(
    strategies=tuple(
        Strategy(code, number, en, zh, stage, gloss_en, gloss_zh)
        for number, (code, en, zh, stage, gloss_en, gloss_zh) in enumerate(_ROWS, 1)
    ),
    stages=_STAGES,
)

# 其他 is the everyday spelling of 其它; long English names also occur shortened or with an ampersand.
_ALIASES = {
    "OT": ("其他", "other"),
    "RP": ("restatement", "paraphrasing", "restatement/paraphrasing", "重述", "转述"),
    "AC": ("appreciation & closure", "感谢与道别"),
}

_NUMBERED = re.compile(r"(?:策略|strategy|#)?\s*(\d{1,2})\s*(?:[:.、)\-]\s*)?(.*)", re.DOTALL)
_WRAPPING = " \t\r\n\"'`*_[](){}<>【】「」『』《》“”‘’.,:;。，；、!！"


def _fold(label: str) -> str:
    """Normalize width, case and spaces, and remove surrounding punctuation."""
    text = unicodedata.normalize("NFKC", label).strip(_WRAPPING).casefold()
    return re.sub(r"[\s_]+", " ", text)


@cache
def _spellings(strategies: StrategySet) -> dict[str, Strategy]:
    table: dict[str, Strategy] = {}
    for strategy in strategies.strategies:
        aliases = _ALIASES.get(strategy.code, ()) if strategies == CSC else ()
        for name in (strategy.code, strategy.en, strategy.zh, *aliases):
            table[_fold(name)] = strategy
    return table


def _code(folded: str, strategies: StrategySet) -> str | None:
    table = _spellings(strategies)
    bare = re.sub(r"^(?:策略|strategy)\s*[:\-]?\s*", "", folded)
    if named := table.get(folded) or table.get(bare):
        return named.code
    numbered = _NUMBERED.fullmatch(folded)
    if numbered is None:
        return None
    number, name = int(numbered[1]), _fold(numbered[2])
    strategy = next((s for s in strategies.strategies if s.number == number), None)
    return strategy.code if strategy and (not name or table.get(name) == strategy) else None


def _code_of_part(label: str, strategies: StrategySet) -> str:
    folded = _fold(label)
    name, _, gloss = folded.partition("(")  # in `Greeting (GT)`, both must name the same strategy
    code = _code(folded, strategies) or _code(_fold(name), strategies)
    if code is None or (gloss and code not in (_code(folded, strategies), _code(_fold(gloss), strategies))):
        raise UnknownStrategyError(f"unknown strategy {label.strip()!r}")
    return code


def normalise(label: str, strategies: StrategySet = CSC) -> tuple[str, ...]:
    """Return the codes that a label names, in order, without duplicates.

    Accepts `策略1 礼貌问候`, `策略1：礼貌问候`, `礼貌问候`, `1`, `GT`, `Greeting`, in any case, half or full
    width, with or without brackets, with a gloss as in `Greeting (GT)`, and labels joined with `+`.

    Raises:
        UnknownStrategyError: the label or one of its parts matches no spelling of the set, or its number and name
            disagree.
    """
    parts = unicodedata.normalize("NFKC", label).split("+")
    return tuple(dict.fromkeys(_code_of_part(part, strategies) for part in parts))


def by_code(code: str, strategies: StrategySet = CSC) -> Strategy:
    """Return the strategy with this code. A KeyError is a bug: codes come from `normalise`."""
    return {s.code: s for s in strategies.strategies}[code]


def stage_of(strategies: StrategySet) -> dict[str, str]:
    """Map each strategy code to its stage code."""
    return {s.code: s.stage for s in strategies.strategies}
