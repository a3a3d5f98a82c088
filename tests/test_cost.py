"""What replies add up to: cases counted by hand, what is not known, and laws of resuming."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cscbench.asking.cost import Cost, Session, Usage, cost_of, usage_of
from cscbench.asking.store import StoredReply
from cscbench.values import Price, Reply


def line(name: str, reply: Reply, key: str = "k") -> StoredReply:
    return StoredReply(name, key, reply)


def session(started: str = "1", wall: float = 1.0, **changed) -> Session:
    plain = Session(started, wall, ("cuda:0", "cuda:1"), 10, 20, 30.0, "covers", ended=True)
    return structs.replace(plain, **changed)


GOOD = Reply("hi", tokens_in=100, tokens_out=5, tokens_reused=60, seconds=0.5, finish_reason="stop")
CUT = structs.replace(GOOD, tokens_reused=0, finish_reason="length", dropped=2)
FAILED = Reply("", error="timeout")
PRICE = Price(input=2.0, output=10.0, currency="CNY")


def test_usage_counts_each_request_once_and_cost_all_that_was_asked():
    lines = [line("a", FAILED), line("b", GOOD, "old"), line("a", GOOD), line("b", CUT, "new"), line("c", FAILED)]
    assert usage_of(lines) == Usage(requests=3, failed=1, tokens_in=200, tokens_out=10, cut=1, dropped=1)
    sessions = [
        session("1", 0.0, ended=False),
        session("1", 2.0, ended=False, peak_memory=99, energy_joules=7.5),
        session("2", 0.5, peak_device_memory=50),
        session("2", 3.0),
    ]
    assert cost_of(lines, sessions, PRICE) == Cost(
        requests=5,
        tokens_in=300,
        tokens_out=15,
        tokens_reused=120,
        tokens_computed=180,
        sessions=2,
        killed=1,
        wall_seconds=5.0,
        model_seconds=1.5,
        devices=2,
        device_seconds=10.0,
        peak_memory=99,
        peak_device_memory=20,
        energy_joules=37.5,
        energy_note="covers",
        amount=pytest.approx(300 * 2e-6 + 15 * 10e-6),
        currency="CNY",
    )


def test_sessions_that_were_killed_are_counted_and_money_is_exact():
    killed = [session(str(number), 1 / 3, ended=False) for number in range(2)]
    cost = cost_of([line("a", GOOD)], [*killed, session("3", 1 / 3)], Price(3.0, 4.0))
    assert (cost.sessions, cost.killed, cost.wall_seconds) == (3, 2, 1.0)
    assert cost.amount == (100 * 3 + 5 * 4) / 10**6
    assert cost_of([], killed[:1], None).wall_seconds == 0.333333


def test_what_is_not_known_is_none_and_never_0():
    silent = Reply("hi")  # an adapter that counts nothing
    cost = cost_of([line("a", silent)], [], None)
    numbers = structs.asdict(cost)
    assert {name for name, value in numbers.items() if value == 0} == {"sessions", "killed"}
    assert {name for name, value in numbers.items() if value is None} == {
        *("tokens_in", "tokens_out", "tokens_reused", "tokens_computed", "wall_seconds", "model_seconds", "devices"),
        *("device_seconds", "peak_memory", "peak_device_memory", "energy_joules", "amount", "currency"),
    }
    assert usage_of([line("a", silent)]) == Usage(1, 0, None, None, 0, 0)
    # A sum over some replies alone would be too small.
    assert usage_of([line("a", GOOD), line("b", silent)]).tokens_in is None
    assert cost_of([line("a", GOOD), line("b", silent)], [], PRICE).amount is None
    unread = cost_of([line("a", GOOD)], [session(), session("2", energy_joules=None, energy_note="no driver")], None)
    assert (unread.energy_joules, unread.energy_note, unread.wall_seconds) == (None, "no driver", 2.0)
    assert cost_of([line("a", GOOD)], [session(), session("2", devices=())], None).device_seconds is None


def test_an_empty_and_a_ranked_reply_have_no_tokens_out_and_that_is_known():
    empty = structs.replace(GOOD, text="", tokens_out=0)
    ranked = structs.replace(GOOD, text="Greeting", tokens_out=0, choice_logprobs=(-1.0, -2.0))
    assert usage_of([line("a", empty), line("b", ranked)]).tokens_out == 0


def test_nothing_reused_is_known_where_the_adapter_says_so():
    none = structs.replace(GOOD, tokens_reused=0)
    cost = cost_of([line("a", none)], [], None)
    assert (cost.tokens_reused, cost.tokens_computed) == (0, 100)
    unsaid = structs.replace(GOOD, tokens_reused=None)
    cost = cost_of([line("a", none), line("b", unsaid)], [], None)
    assert (cost.tokens_in, cost.tokens_reused, cost.tokens_computed) == (200, None, None)


def test_without_a_single_answer_no_tokens_are_known():
    assert usage_of([line("a", FAILED)]) == Usage(1, 1, None, None, 0, 0)
    assert usage_of([]) == Usage(0, 0, None, None, 0, 0)


SOME = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 9), st.booleans(), st.floats(0, 10)), min_size=1, max_size=12
)


@given(SOME, st.randoms())
def test_failures_that_are_asked_again_change_what_it_took_and_not_what_it_came_to(some, random):
    replies = [(name, Reply("x", tokens_in=count, tokens_out=1, seconds=seconds)) for name, count, _, seconds in some]
    first = dict(reversed(replies))  # of several replies to the same messages the first counts
    clean = [line(name, reply) for name, reply in first.items()]
    failing = [line(name, FAILED) for (name, _), (_, _, fails, _) in zip(replies, some, strict=True) if fails]
    noisy = [*failing, *clean]
    random.shuffle(noisy)
    assert usage_of(noisy) == usage_of(clean)
    cost, plain = cost_of(noisy, [], PRICE), cost_of(clean, [], PRICE)
    assert cost.requests == plain.requests + len(failing)
    assert (cost.amount, cost.model_seconds) == (plain.amount, plain.model_seconds)


@given(st.lists(st.floats(0, 1e4, allow_nan=False), min_size=1, max_size=20), st.randoms())
def test_sums_of_times_do_not_depend_on_the_order(walls, random):
    sessions = [session(str(number), wall) for number, wall in enumerate(walls)]
    shuffled = random.sample(sessions, len(sessions))
    assert cost_of([], sessions, None) == cost_of([], shuffled, None)
