"""Every spelling of a label becomes one code, and nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.values import CSC, Stage, Strategy, StrategySet, UnknownStrategyError, by_code, normalise, stage_of

# The paper's table (arXiv:2508.04423): number, Chinese, English, abbreviation, stage.
PAPER = [
    (1, "礼貌问候", "Greeting", "GT", "Connecting"),
    (2, "确认身份", "Identity Verification", "IV", "Connecting"),
    (3, "重述或转述", "Restatement or Paraphrasing", "RP", "Identifying"),
    (4, "细化问题", "Problem Refinement", "PR", "Exploring"),
    (5, "情感管理", "Emotional Management", "EM", "Identifying"),
    (6, "提供建议", "Providing Suggestions", "PS", "Exploring"),
    (7, "信息传达", "Information Delivery", "ID", "Resolving"),
    (8, "解决实施", "Resolution Implementation", "RI", "Resolving"),
    (9, "反馈请求", "Feedback Request", "FR", "Maintaining"),
    (10, "关系延续", "Relationship Continuation", "RC", "Maintaining"),
    (11, "感谢与告别", "Appreciation and Closure", "AC", "Maintaining"),
    (12, "其它", "Others", "OT", None),
]
SPELLINGS = [
    "策略{n} {zh}", "策略{n}: {zh}", "策略{n}：{zh}", "{zh}", "{en}", "{code}",  # those of the facts
    "策略{n}{zh}", "策略 {n}、{zh}", "策略{n}", "策略：{zh}", "{n}", "{n}. {en}", "strategy {n}", "Strategy {n}: {en}",
    "strategy: {en}", "[{zh}]", "【策略{n} {zh}】", "（{zh}）", "**{en}**", "`{code}`", "“{zh}”", " {zh}。\n", "#{n}",
    "{en} ({code})", "{code} ({en})", "策略{n} {zh}（{en}）", "{zh}+{zh}",
]  # fmt: skip


def _wide(text: str) -> str:
    """ASCII in its full-width form, as Chinese input methods write it."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("row", PAPER, ids=lambda row: row[3])
def test_every_spelling_in_every_case_and_width_is_one_code(row, spelling):
    number, zh, en, code, _ = row
    label = spelling.format(n=number, zh=zh, en=en, code=code)
    for form in (label, label.upper(), label.lower(), _wide(label), label.replace(" ", "　"), label.replace(" ", "  ")):
        assert normalise(form) == (code,), form


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("其他", "OT"), ("策略12 其他", "OT"), ("Other", "OT"), ("Restatement", "RP"), ("Paraphrasing", "RP"),
        ("restatement/paraphrasing", "RP"), ("转述", "RP"), ("Appreciation & Closure", "AC"), ("感谢与道别", "AC"),
        ("identity_verification", "IV"), ("IDENTITY  VERIFICATION", "IV"), ("①", "GT"), ("策略１０：关系延续", "RC"),
    ],
)  # fmt: skip
def test_everyday_variants_are_known(label, code):
    assert normalise(label) == (code,)


@pytest.mark.parametrize(
    "label",
    [
        "",
        " ",
        "+",
        "礼貌问候+",
        "策略",
        "strategy",
        "策略13",
        "0",
        "00",
        "99",
        "123",
        "Greetings from us",
        "策略7 礼貌问候",
        "策略1 0",
        "GT IV",
        "Greeting (IV)",
        "Greeting (soft)",
        "Soft (GT)",
        "礼貌",
        "UserName",
        "1 2",
        "客服",
        "-1x",
        "1 " * 3000,
        "a(" * 3000,
    ],
)
def test_anything_else_is_unknown_and_a_number_must_agree_with_its_name(label):
    with pytest.raises(UnknownStrategyError, match="unknown strategy"):
        normalise(label)


@pytest.mark.parametrize(
    ("label", "codes"),
    [
        ("策略1 礼貌问候+策略2 确认身份", ("GT", "IV")), ("确认身份 ＋ 礼貌问候", ("IV", "GT")),
        ("Greeting + GT + 1", ("GT",)), ("[EM+PS+ID]", ("EM", "PS", "ID")),
    ],
)  # fmt: skip
def test_joined_labels_keep_their_order_without_repeats(label, codes):
    assert normalise(label) == codes


def test_one_unknown_part_spoils_a_joined_label_and_is_named():
    with pytest.raises(UnknownStrategyError, match="闲聊"):
        normalise("礼貌问候+闲聊")


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_label_is_read_or_refused_never_worse(label):
    try:
        codes = normalise(label)
    except UnknownStrategyError:
        return
    assert codes
    assert set(codes) <= {row[3] for row in PAPER}
    assert normalise("+".join(codes)) == codes


def test_the_set_is_the_papers():
    stages = {stage.code: stage.en for stage in CSC.stages}
    rows = [(s.number, s.zh, s.en, s.code, stages.get(s.stage)) for s in CSC.strategies]
    assert rows == PAPER
    assert [s.zh for s in CSC.stages] == [
        "欢迎和建立联系",
        "理解和识别问题",
        "寻求解决方案",
        "解决和确认",
        "结束和保持关系",
    ]
    assert all(s.gloss_en and s.gloss_zh for s in CSC.strategies)
    assert stage_of(CSC)["OT"] == ""
    assert {by_code(row[3]).number for row in PAPER} == set(range(1, 13))


def test_a_task_may_bring_labels_of_its_own():
    labels = StrategySet(
        (Strategy("Q", 1, "Question", "提问", "", "", ""), Strategy("O", 2, "Others (misc)", "其它", "", "", "")),
        (Stage("s", "S", "阶段"),),
    )
    assert normalise("策略1：提问", labels) == ("Q",)
    assert normalise("others (misc)", labels) == ("O",)
    for foreign in ("Greeting", "其他", "7"):  # CSC's names and aliases mean nothing here
        with pytest.raises(UnknownStrategyError):
            normalise(foreign, labels)
