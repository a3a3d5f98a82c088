"""Desks: models that cannot be loaded, several roles, one budget for all of them, and a loop that runs already."""

import asyncio
import os
import signal
import threading
from collections.abc import Generator

import pytest
from desk_help import desk, play_at_desk
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.asking import store
from cscbench.asking.budget import Budget, BudgetSpent, most_tokens
from cscbench.asking.desk import paid_replies, usage_and_cost
from cscbench.asking.engine import play_all
from cscbench.models.backend import LoadedAdapter
from cscbench.values import ChatRole, Message, Price, Reply, Request, Sampling, Step, UserError


def request(name: str, role: str = "supporter", text: str = "hello") -> Request:
    messages = (Message(ChatRole.USER, text),)
    return Request(name, name, 0, Step.JOINT, messages, Sampling(max_tokens=10), role=role)


def asks(*requests: Request) -> Generator[Request, Reply, tuple[str, ...]]:
    """A play that yields these requests and returns the texts of their replies."""
    texts = []
    for each in requests:
        texts.append((yield each).text)
    return tuple(texts)


class Says:
    """Answers with its name, after a moment; every reply takes as many tokens."""

    def __init__(self, name: str = "m", tokens_in: int = 30, tokens_out: int = 10) -> None:
        self.name, self.asked, self.threads = name, [], set()
        self._tokens = tokens_in, tokens_out

    async def generate(self, request: Request) -> Reply:
        self.asked.append(request.id)
        self.threads.add(threading.get_ident())
        await asyncio.sleep(0)
        return Reply(self.name, *self._tokens)

    def close(self) -> None: ...


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), UserError("no weights"), ImportError("torch")])
def test_a_load_that_fails_is_tried_and_reported_once(tmp_path, error):
    loads = []

    def load() -> LoadedAdapter:
        loads.append(1)
        raise error

    with pytest.raises(type(error)) as raised:
        play_at_desk(tmp_path, [asks(request(f"d{number}")) for number in range(40)], load, concurrency=16)
    assert raised.value is error  # no group of sixteen
    assert len(loads) == 1


def test_a_load_that_failed_is_tried_again_by_the_next_command(tmp_path):
    with pytest.raises(UserError):
        play_at_desk(tmp_path, [asks(request("a"))], lambda: (_ for _ in ()).throw(UserError("no weights")))
    assert play_at_desk(tmp_path, [asks(request("a"))], lambda: LoadedAdapter(Says())) == (("m",),)


def test_each_request_is_answered_at_the_desk_of_its_role_and_kept_in_its_folder(tmp_path):
    supporter, customer = Says("supporter"), Says("customer")
    desks = {
        "supporter": desk(tmp_path / "run", lambda: LoadedAdapter(supporter)),
        "customer": desk(tmp_path / "customer", lambda: LoadedAdapter(customer)),
    }
    plays = [asks(request(f"{n}/0"), request(f"{n}/1", "customer"), request(f"{n}/2")) for n in range(5)]
    assert play_all(plays, desks, 3) == (("supporter", "customer", "supporter"),) * 5
    assert sorted(customer.asked) == [f"{n}/1" for n in range(5)]
    assert len((tmp_path / "run/replies.jsonl").read_bytes().splitlines()) == 10
    assert len((tmp_path / "customer/replies.jsonl").read_bytes().splitlines()) == 5


def test_it_works_where_an_event_loop_runs_already(tmp_path):
    model = Says()

    async def notebook() -> tuple:
        return play_at_desk(tmp_path, [asks(request(f"d{n}")) for n in range(9)], lambda: LoadedAdapter(model))

    assert asyncio.run(notebook()) == (("m",),) * 9
    assert threading.get_ident() not in model.threads


def test_a_bug_inside_a_running_event_loop_comes_back_as_itself(tmp_path):
    def play() -> Generator[Request, Reply, tuple]:
        yield request("a")
        raise KeyError("a bug of the play")

    async def notebook() -> None:
        play_at_desk(tmp_path, [play()], lambda: LoadedAdapter(Says()))

    with pytest.raises(KeyError, match="a bug of the play"):
        asyncio.run(notebook())


def test_ctrl_c_inside_a_running_event_loop_ends_the_plays_and_closes_the_model(tmp_path):
    closed = []

    class Slow(Says):
        async def generate(self, request: Request) -> Reply:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
            raise AssertionError("not cancelled")

        def close(self) -> None:
            closed.append(1)

    async def notebook() -> None:
        play_at_desk(tmp_path, [asks(request("a"))], lambda: LoadedAdapter(Slow()))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(notebook())
    assert closed == [1]


PRICES = st.builds(Price, st.floats(0.1, 50), st.floats(0.1, 50))
MOST = most_tokens(request("x"))


@settings(max_examples=25)
@given(prices=st.lists(PRICES, min_size=2, max_size=3), share=st.floats(0, 1.1), workers=st.integers(1, 5))
def test_one_limit_holds_over_desks_of_any_price_asked_one_after_the_other(tmp_path_factory, prices, share, workers):
    folder = tmp_path_factory.mktemp("desks")
    worst = [(MOST.read * price.input + MOST.written * price.output) / 1e6 for price in prices]
    limit = share * 6 * sum(worst)
    budget = Budget(limit)
    accounts = [budget.account(f"m{number}", price, requests=6) for number, price in enumerate(prices)]
    spent, stopped = 0.0, ""
    for number, (price, account) in enumerate(zip(prices, accounts, strict=True)):
        model = Says(tokens_in=MOST.read, tokens_out=MOST.written)
        desks = {"supporter": desk(folder / str(number), lambda model=model: LoadedAdapter(model), account)}
        try:
            play_all([asks(request("x")) for _ in range(6)], desks, workers)
        except BudgetSpent as stop:
            stopped = str(stop)
        spent += len(model.asked) * (MOST.read * price.input + MOST.written * price.output) / 1e6
        if stopped:
            assert f"to m{number} can cost up to" in stopped
            break
    assert spent <= limit * (1 + 1e-12)
    assert bool(stopped) == (share < 1) or abs(share - 1) < 1e-9


def test_two_currencies_are_refused_under_a_limit_and_only_there():
    for limit in (None, 1.0):
        budget = Budget() if limit is None else Budget(limit)
        budget.account("qwen", Price(1, 1, "CNY"))
        budget.account("local")
        if limit is None:
            budget.account("judge x", Price(1, 1, "USD"))
            continue
        with pytest.raises(UserError, match="judge x is priced in USD and qwen in CNY"):
            budget.account("judge x", Price(1, 1, "USD"))


def test_a_desk_without_a_price_costs_nothing_and_need_not_count_tokens(tmp_path):
    budget = Budget(0.0)
    model = Says(tokens_in=0, tokens_out=0)
    desks = {"supporter": desk(tmp_path, lambda: LoadedAdapter(model), budget.account("local"))}
    assert play_all([asks(request(f"d{n}")) for n in range(3)], desks, 2) == (("m",),) * 3


class Fails(Says):
    """Raises at first, so many times, and then answers."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._left = failures

    async def generate(self, request: Request) -> Reply:
        self._left -= 1
        if self._left >= 0:
            self.asked.append(request.id)
            raise RuntimeError("no luck")
        return await super().generate(request)


@pytest.mark.parametrize(("failures", "gives_up"), [(15, False), (16, True)])
def test_a_model_that_never_answered_is_given_up_after_sixteen_failures_in_a_row(tmp_path, failures, gives_up):
    model = Fails(failures)
    plays = [asks(request(f"d{number}")) for number in range(20)]
    if gives_up:
        with pytest.raises(UserError, match=r"first 16 requests all failed.*RuntimeError: no luck"):
            play_at_desk(tmp_path, plays, lambda: LoadedAdapter(model), concurrency=1)
        assert len(model.asked) == 16
    else:
        texts = play_at_desk(tmp_path, plays, lambda: LoadedAdapter(model), concurrency=1)
        assert texts == (("",),) * 15 + (("m",),) * 5


def test_a_model_that_answered_once_is_never_given_up(tmp_path):
    class Falters(Says):
        async def generate(self, request: Request) -> Reply:
            if request.id != "d0":
                raise RuntimeError("no luck")
            return await super().generate(request)

    plays = [asks(request(f"d{number}")) for number in range(20)]
    texts = play_at_desk(tmp_path, plays, lambda: LoadedAdapter(Falters()), concurrency=1)
    assert texts == (("m",),) + (("",),) * 19


def test_one_traceback_shows_the_fault_and_the_next_failures_are_a_line_each(tmp_path, caplog):
    plays = [asks(request(f"d{number}")) for number in range(4)]
    play_at_desk(tmp_path, plays, lambda: LoadedAdapter(Fails(3)), concurrency=1)
    failures = [record for record in caplog.records if "the adapter failed" in record.message]
    assert [bool(record.exc_info) for record in failures] == [True, False, False]


def test_what_a_folder_says_of_replies_and_their_cost(tmp_path):
    price = Price(2.0, 8.0)
    play_at_desk(tmp_path, [asks(request(f"d{number}")) for number in range(3)], lambda: LoadedAdapter(Says()))
    foreign = store.ReplyLog(tmp_path / store.REPLIES)
    foreign.engine = "another"
    foreign.append(request("d3"), Reply("x", 1000, 1000))
    foreign.close()
    assert sorted(reply.tokens_in for reply in paid_replies(tmp_path)) == [30, 30, 30, 1000]
    usage, cost = usage_and_cost(tmp_path, price)
    assert (usage.requests, usage.tokens_in, usage.tokens_out) == (3, 90, 30)
    assert (cost.requests, cost.sessions, cost.killed) == (3, 1, 0)
    assert cost.amount == pytest.approx((90 * 2.0 + 30 * 8.0) / 1e6)
