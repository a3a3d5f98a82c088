"""Pairs for scorers: the sample's own words as references, and replies that are right, wrong, cut short or empty."""

import json
from pathlib import Path

import pytest

from cscbench.scoring.scorer import ScoringContext
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

_DATA = Path(__file__).parents[2] / "tasks" / "csconv_sample" / "data" / "test.jsonl"
_CODES = [strategy.code for strategy in CSC.strategies]


def _reply(kind: int, text: str, other: str) -> str:
    return ("", text, other, text[: len(text) // 2], f"{text} {other}", other[:9])[kind]


def _pairs(language: Language, dialogues: int) -> list[ScoredPair]:
    records = [json.loads(line) for line in _DATA.read_text(encoding="utf-8").splitlines()]
    selected = [record for record in records if record["language"] == language.value][:dialogues]
    turns = [
        (record["id"], number, turn["text"])
        for record in selected
        for number, turn in enumerate(record["dialogue"])
        if turn["strategy"]
    ]
    pairs = []
    for row, (dialogue, number, text) in enumerate(turns):
        other = turns[(row * 7 + 3) % len(turns)][2]
        said = None if row % 5 == 0 else _CODES[row * 5 % 12]
        form = ParseForm.UNPARSED if said is None else ParseForm.BRACKET
        reply = _reply(row % 6, text, other)
        pairs.append(ScoredPair(dialogue, number, language, "", _CODES[row * row % 12], text, said, reply, form))
    return pairs


@pytest.fixture(scope="session")
def zh_pairs() -> list[ScoredPair]:
    """Some 60 Chinese turns of 6 dialogues."""
    return _pairs(Language.ZH, 6)


@pytest.fixture(scope="session")
def en_pairs() -> list[ScoredPair]:
    """Some 60 English turns of 6 dialogues."""
    return _pairs(Language.EN, 6)


@pytest.fixture(scope="session")
def both() -> ScoringContext:
    """A run in both languages."""
    return ScoringContext((Language.ZH, Language.EN), Condition.JOINT, CSC)
