"""Where texts diverge: cases counted by hand, and properties."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscbench.asking.store import StoredReply
from cscbench.comparing.agree.common_turns import Common
from cscbench.comparing.agree.texts import compare, divergences, first_difference, groups, text_group
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
            # Replies on disk are in order of arrival, which is arbitrary.
            sides.append(SimpleNamespace(record=run, replies=dict(sorted(lines.items(), reverse=True))))
        languages = dict(zip(run.dialogues, (Language.ZH, Language.EN, Language.ZH), strict=True))
        both = Common((), tuple(sides[0].replies), 0, languages, 0)
        return compare(*sides, both, unit), both

    return make


@pytest.mark.parametrize(
    ("left", "right", "prefix"),
    [
        ("a b c", "a b c", None),
        ("", "", None),
        ("a b c", "a b d", 2),
        ("a b", "a b c", 2),
        ("", "a", 0),
        ("x b c", "y b c", 0),
    ],
)
def test_texts_part_at_the_first_unit_that_differs_or_is_missing(compared, left, right, prefix):
    assert [pair.common_prefix for pair in compared([left, right], [right, left])[0]] == [prefix, prefix]


def test_chinese_by_character_counts_characters(compared):
    pairs, _ = compared(["您好，退款三天内到账。"], ["您好，退款五天内到账。"], unit=characters())
    assert pairs[0].common_prefix == 5
    (divergence,) = divergences(pairs, 3)
    assert (divergence.shared, divergence.a, divergence.b) == ("您好，退款", "三天内到账。", "五天内到账。")


def test_what_a_tokenizer_cannot_tell_apart_parts_after_its_last_token(compared):
    deaf = TextUnit("unknown words", lambda texts: [[0 for _ in text.split()] for text in texts])
    pairs, _ = compared(["one two", "one two"], ["one three", "one two"], unit=deaf)
    assert [pair.common_prefix for pair in pairs] == [2, None]


def test_a_group_counts_what_was_counted_by_hand(compared):
    same, later = "a b c d e f", "a b c d e x"
    left = [same, same, same, same, "a b", "a b"]
    right = [same, later, "x", "a b x", "a b", "a b c"]
    pairs, _ = compared(left, right)
    counted = text_group("all", pairs, 5)
    # They diverge after 5, 0, 2 and 2 words; two are identical.
    assert (counted.requests, counted.identical, counted.identical_first) == (6, 2, 3)
    assert counted.quartiles == (1.5, 2.0, 2.75)
    assert [(band.low, band.high, band.count) for band in counted.histogram if band.count] == [
        (0, 0, 1),
        (2, 3, 2),
        (4, 7, 1),
    ]
    # All but one share their first two words; identical shorter ones count.
    assert text_group("all", pairs, 2).identical_first == 5
    assert text_group("none", [], 5).quartiles is None


def test_requests_are_grouped_by_prompt_and_by_language(compared):
    left = ["a", "a", "a", "a", "a"]
    right = ["a", "b", "a", "b", "b"]
    pairs, both = compared(left, right, same=[True, True, True, True, False])
    counts = {group.name: (group.requests, group.identical) for group in groups(pairs, both, 1)}
    assert counts == {"all": (5, 2), "same prompt": (4, 2), "zh": (3, 2), "en": (2, 0)}


def test_divergences_are_shown_in_play_order_those_to_equal_prompts_first(compared, run):
    left, right = ["a 1", "a 2", "a", "a 3"], ["b 1", "b 2", "a", "b 3"]
    pairs, _ = compared(left, right, same=[False, True, True, True])
    first, second, third = run.dialogues
    shown = [(pair.request, pair.same_prompt, pair.a) for pair in divergences(pairs, 2)]
    assert shown == [(f"{first}/2/joint", True, "a 2"), (f"{second}/0/joint", True, "a 3")]
    assert [pair.same_prompt for pair in divergences(pairs, 9)] == [True, True, False]
    # Turn 10 comes after turn 2, and dialogues come as they were played.
    assert [pair.request for pair in pairs] == [f"{first}/{turn}/joint" for turn in (0, 2, 10)] + [f"{second}/0/joint"]
    assert third


TEXTS = st.text(st.sampled_from("ab 您好。"), max_size=12)


@given(left=TEXTS, right=TEXTS)
def test_the_common_prefix_is_symmetric_and_equal_in_both(left, right):
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
    counted = text_group("x", compare(a, b, both, characters()), first)
    assert counted == text_group("x", compare(b, a, both, characters()), first)
    assert counted.identical + sum(band.count for band in counted.histogram) == counted.requests == len(pairs)
    assert counted.identical <= counted.identical_first <= counted.requests
    assert counted.identical == sum(left == right for left, right in pairs)
    same = text_group("x", compare(a, a, both, characters()), first)
    assert (same.identical, same.identical_first, same.quartiles) == (len(pairs), len(pairs), None)
