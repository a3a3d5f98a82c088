"""The pages for people are written in the field's own terms: phrases that once had to be replaced stay away."""

import re

import pytest
from pages import ROOT

FOLDERS = ("docs/*.md", "model_cards/*.md", "tasks/*/README.md", "leaderboards/README.md")
ENGLISH = [
    "README.md",
    "CHANGELOG.md",
    *(str(path.relative_to(ROOT)) for folder in FOLDERS for path in sorted(ROOT.glob(folder))),
]
JOINTS = (
    r"to be had",
    r"go(es)? on (?!to)",
    r"is there\b",
    r"stands\b",
    r"stand in\b",
    r"lies\b",
    r"lie in\b",
    r"what it took",
    r"what a run took",
    r"anew\b",
    r"cures?\b",
    r"beside\b",
    r"of ours\b",
    r"at hand",
    r"so often\b",
    r"a mistake in what was given",
    r"killed at any moment",
    r"is only shown",
    r"proves that it is on",
    r"nothing yet",
    r"not to be",
    r"nearly blind",
    r"parts? (?:where|from) ",
    r"what is there",
    r"with more goes",
    r"measured otherwise than",
    r"wanted\b",
    r"asked of\b",
    r"by it\b",
    r"so many\b",
    r"mends?\b",
)
CHINESE = (
    "检出的代码",
    "软件包索引",
    "服务器后面的模型",
    "被杀死",
    "只会显示结果",
    "给出改法",
    "本可以看出",
    "评委",
    "打星",
    "留下什么",
    "自述",
    "瞎的",
    "归结为",
    "重演",
    "谁来回答",
    "花了多少",
    "从哪里分开",
    "怎样",
    "形状模型",
    "尚未完成",
    "走的都是",
    "(?<!置信)区间",
)


@pytest.mark.parametrize("name", ENGLISH)
def test_english_pages_use_plain_verbs(name):
    text = " ".join(re.sub(r"^```.*?^```$", "", (ROOT / name).read_text("utf-8"), flags=re.M | re.S).split())
    for phrase in JOINTS:
        match = re.search(rf"\b{phrase}", text, re.IGNORECASE)
        assert match is None, f"{name}: ...{text[max(0, match.start() - 60) : match.end() + 30]}..."


def test_the_chinese_readme_uses_the_terms_of_the_field():
    text = (ROOT / "README.zh.md").read_text("utf-8")
    for phrase in CHINESE:
        match = re.search(phrase, text)
        assert match is None, text[max(0, match.start() - 30) : match.end() + 10]
