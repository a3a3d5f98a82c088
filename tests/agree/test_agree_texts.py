"""Where texts part: cases counted by hand, and laws."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscbench.asking.store import StoredReply
from cscbench.comparing.agree.common_turns import Common
from cscbench.comparing.agree.texts import compare, divergences, first_difference, group, groups
from cscbench.comparing.agree.units import TextUnit, characters
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare, run_record
from cscbench.values import Language, Reply

WORDS = TextUnit("words", lambda texts: [text.split() for text in texts])


@pytest.fixture(scope="module")
def run():
    return run_record(prepare(RunOptions(model="gold", limit=3)))


@pytest.fixture
def compared(run):
    """Two lists of texts, and whether their prompts are the same, as replies of two runs in play order."""

    def make(left, right, same=None, unit=WORDS):
        places = [(dialogue, turn) for dialogue in run.dialogues for turn in (0, 2, 10)]
        requests = [f"{dialogue}/{turn}/joint" for dialogue, turn in places][: len(left)]
        prompts = ["0" if equal else "1" for equal in same or [True] * len(left)]
        sides = []
        for texts, keys in ((left, ["0"] * len(left)), (right, prompts)):
            lines = {
                request: StoredReply(request, f"{key}-settings", Reply(text))
                for request, text, key in zip(requests, texts, keys, strict=True)
            }
            # On disk replies stand as they came, which is no order.
            sides.append(SimpleNamespace(record=run, replies=dict(sorted(lines.items(), reverse=True))))
        languages = dict(zip(run.dialogues, (Language.ZH, Language.EN, Language.ZH), strict=True))
        both = Common((), tuple(sides[0].replies), 0, languages, 0)
        return compare(*sides, both, unit), both

    return make


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        ("a b c", "a b c", None),
        ("", "", None),
        ("a b c", "a b d", 2),
        ("a b", "a b c", 2),
        ("", "a", 0),
        ("x b c", "y b c", 0),
    ],
)
def test_texts_part_at_the_first_unit_that_differs_or_is_missing(compared, left, right, alike):
    assert [one.alike for one in compared([left, right], [right, left])[0]] == [alike, alike]


def test_chinese_by_character_counts_characters(compared):
    found, _ = compared(["您好，退款三天内到账。"], ["您好，退款五天内到账。"], unit=characters())
    assert found[0].alike == 5
    (parting,) = divergences(found, 3)
    assert (parting.shared, parting.a, parting.b) == ("您好，退款", "三天内到账。", "五天内到账。")


def test_what_a_tokenizer_cannot_tell_apart_parts_after_its_last_token(compared):
    deaf = TextUnit("unknown words", lambda texts: [[0 for _ in text.split()] for text in texts])
    found, _ = compared(["one two", "one two"], ["one three", "one two"], unit=deaf)
    assert [one.alike for one in found] == [2, None]


def test_a_group_counts_what_was_counted_by_hand(compared):
    same, later = "a b c d e f", "a b c d e x"
    left = [same, same, same, same, "a b", "a b"]
    right = [same, later, "x", "a b x", "a b", "a b c"]
    found, _ = compared(left, right)
    counted = group("all", found, 5)
    # They part after 5, 0, 2 and 2 words; two are identical.
    assert (counted.requests, counted.identical, counted.identical_first) == (6, 2, 3)
    assert counted.quartiles == (1.5, 2.0, 2.75)
    assert [(one.low, one.high, one.count) for one in counted.histogram if one.count] == [
        (0, 0, 1),
        (2, 3, 2),
        (4, 7, 1),
    ]
    # Two words are alike in all but one of them; the shorter ones that are identical count.
    assert group("all", found, 2).identical_first == 5
    assert group("none", [], 5).quartiles is None


def test_requests_are_grouped_by_prompt_and_by_language(compared):
    left = ["a", "a", "a", "a", "a"]
    right = ["a", "b", "a", "b", "b"]
    found, both = compared(left, right, same=[True, True, True, True, False])
    counts = {one.name: (one.requests, one.identical) for one in groups(found, both, 1)}
    assert counts == {"all": (5, 2), "same prompt": (4, 2), "zh": (3, 2), "en": (2, 0)}


def test_partings_are_shown_in_play_order_those_to_equal_prompts_first(compared, run):
    left, right = ["a 1", "a 2", "a", "a 3"], ["b 1", "b 2", "a", "b 3"]
    found, _ = compared(left, right, same=[False, True, True, True])
    first, second, third = run.dialogues
    shown = [(one.request, one.same_prompt, one.a) for one in divergences(found, 2)]
    assert shown == [(f"{first}/2/joint", True, "a 2"), (f"{second}/0/joint", True, "a 3")]
    assert [one.same_prompt for one in divergences(found, 9)] == [True, True, False]
    # Turn 10 comes after turn 2, and dialogues come as they were played.
    assert [one.request for one in found] == [f"{first}/{turn}/joint" for turn in (0, 2, 10)] + [f"{second}/0/joint"]
    assert third


TEXTS = st.text(st.sampled_from("ab 您好。"), max_size=12)


@given(left=TEXTS, right=TEXTS)
def test_parting_is_symmetric_and_what_lies_before_it_is_equal(left, right):
    at = first_difference(left, right)
    assert at == first_difference(right, left)
    assert first_difference(left, left) is None
    if at is None:
        assert left == right
    else:
        assert left[:at] == right[:at]
        assert left[at : at + 1] != right[at : at + 1]


@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), max_size=8), first=st.integers(1, 6))
def test_counts_of_a_group_add_up_and_are_symmetric(run, pairs, first):
    lefts = {f"{run.dialogues[0]}/{n}/joint": left for n, (left, _) in enumerate(pairs)}
    rights = {f"{run.dialogues[0]}/{n}/joint": right for n, (_, right) in enumerate(pairs)}
    a, b = (
        SimpleNamespace(
            record=run, replies={name: StoredReply(name, "0-0", Reply(text)) for name, text in texts.items()}
        )
        for texts in (lefts, rights)
    )
    both = Common((), tuple(lefts), 0, {}, 0)
    found = group("x", compare(a, b, both, characters()), first)
    assert found == group("x", compare(b, a, both, characters()), first)
    assert found.identical + sum(one.count for one in found.histogram) == found.requests == len(pairs)
    assert found.identical <= found.identical_first <= found.requests
    assert found.identical == sum(left == right for left, right in pairs)
    same = group("x", compare(a, a, both, characters()), first)
    assert (same.identical, same.identical_first, same.quartiles) == (len(pairs), len(pairs), None)
