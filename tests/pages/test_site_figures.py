"""The data of plots: nothing is paired, priced or rated that must not be."""

import pytest

from cscbench.publishing.site import figures
from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.publishing.site.points import Point, lora_pairs
from cscbench.runs.turns import ScoredTurn, summarise_turns
from cscbench.values import Condition, Context, Language, ParseForm, ScoredPair


def point(name, parameters=7e9, lora=False, block=0, family="q", **others):
    summary = EntrySummary(
        id=name,
        slug=name,
        name=name,
        reported=False,
        family=family,
        parameters=parameters,
        lora=lora,
        adapter="hf",
        languages=(Language.ZH,),
        context=Context.GOLD,
        condition=Condition.JOINT,
        task="t",
        data=("0",),
        turns=100,
        values={},
        **others,
    )
    return Point(summary, block, Value(50.0 + len(name), 45.0, 60.0))


def turn(number, stars=None, rouge=10.0, hit=True, form=ParseForm.JSON, dialogue="d"):
    pair = ScoredPair(dialogue, number, Language.ZH, "", "GT", "a", "GT" if hit else "ID", "b", form)
    return ScoredTurn(pair, (rouge, None, stars))


def test_arrows_stay_within_family_size_and_block():
    base, tuned, elsewhere = point("base"), point("tuned", lora=True), point("elsewhere", lora=True, block=1)
    larger, stranger = point("larger", 70e9, lora=True), point("stranger", lora=True, family="l")
    unknown = point("unknown", 0, lora=True)
    assert lora_pairs([base, tuned, elsewhere, larger, stranger, unknown]) == [(base, tuned)]
    drawn = figures.sizes([base, tuned, elsewhere], "m")
    (arrow,) = drawn["layout"]["annotations"]
    assert (arrow["ay"], arrow["y"]) == (54.0, 55.0)
    assert figures.sizes([point("base"), point("alone", 7e9, family="z")], "m") is None


def test_costs_in_different_currencies_never_share_an_axis():
    usd = [point(name, amount=1.0, currency="USD") for name in "ab"]
    drawn = figures.against_cost([*usd, point("c", amount=1.0, currency="CNY"), point("d")], "m")
    assert [trace["text"] for trace in drawn["data"]] == [["a", "b"]]
    assert drawn["data"][0]["x"] == [10.0, 10.0]
    assert drawn["layout"]["xaxis"]["ticksuffix"] == " USD"
    assert figures.against_cost([point("d")], "m") is None
    assert figures.against_time([point("d")], "m") is None
    assert figures.against_size([point("d", 0)], "m") is None


def test_stars_are_counted_by_halves_and_shown_as_shares():
    summary = summarise_turns(
        [turn(0, 1.0), turn(2, 4.6), turn(4, 5.0), turn(6), turn(8, 3.0, form=ParseForm.FAILED)], True
    )
    assert summary.stars == (1, 0, 0, 0, 0, 0, 0, 1, 1)
    drawn = figures.stars([("m", summary.stars)])
    assert drawn["data"][0]["y"][0] == pytest.approx(33.3)
    assert summarise_turns([turn(0)], True).stars == ()
    assert figures.stars([]) is None


def test_failed_turns_are_no_position_s_and_no_extreme():
    turns = [turn(0, rouge=1.0), turn(2, rouge=50.0, hit=False), turn(4, rouge=None, form=ParseForm.FAILED)]
    summary = summarise_turns([*turns, turn(0, rouge=3.0, dialogue="e")], True)
    first, second, third = summary.positions[:3]
    assert (first.n, first.accuracy.value, first.rouge.value) == (2, 100.0, 2.0)
    assert (second.n, second.accuracy.value, second.accuracy.low) == (1, 0.0, None)
    assert (third.n, third.accuracy) == (0, None)
    assert [worst.scores[0] for worst in summary.worst] == [1.0, 3.0, 50.0]
    assert [best.scores[0] for best in summary.best] == [50.0, 3.0, 1.0]
    assert summarise_turns(turns, False).positions[0].accuracy is None


def test_names_are_no_markup_to_plotly():
    assert figures.plotly_text("<a href='x'>&lt;</a>") == "&lt;a href='x'&gt;&amp;lt;&lt;/a&gt;"
    assert figures.shorten("x" * 50) == "x" * 33 + "…"


def test_names_of_marks_in_one_place_stand_below_each_other():
    names = figures.label_sides([1.0, 1.0, 70.0, 1.0], [5.0, 5.0, 9.0, 5.0])
    assert names == ["middle right", "bottom right", "middle left", "top right"]
    assert figures.label_sides([1.0, 1.0], [5.0, 90.0]) == ["middle left", "middle left"]
    assert figures.label_sides([0.0, 0.0], [5.0, 5.0]) == ["middle left", "bottom left"]


@pytest.mark.parametrize(("sizes", "least", "most"), [([0.135e9], 2, 4), ([7e9, 70e9], 3, 6), ([1e6, 400e9], 5, 7)])
def test_an_axis_of_sizes_has_ticks_enough_and_not_too_many(sizes, least, most):
    drawn = figures.against_size([point(f"m{size}", size) for size in sizes], "m")
    axis = drawn["layout"]["xaxis"]
    assert least <= len(axis["tickvals"]) <= most
    low, high = (10**end for end in axis["range"])
    assert all(low < size / 1e9 < high for size in sizes)
    assert all(low <= tick <= high for tick in axis["tickvals"])
