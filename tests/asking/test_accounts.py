"""Accounts of a budget, in prices that make a token a unit of money: what passes, what is counted, what is said."""

import asyncio

import pytest

from cscbench.asking.budget import Account, Budget, BudgetSpent, Tokens, most_tokens
from cscbench.values import ChatRole, Message, Price, Reply, Request, Sampling, Step, UserError

READ = Price(1e6, 0, "USD")


def request(*texts: str, max_tokens: int = 10) -> Request:
    messages = tuple(Message(ChatRole.USER, text) for text in texts)
    return Request("d/0", "d", 0, Step.JOINT, messages, Sampling(max_tokens=max_tokens))


MOST = most_tokens(request("hello")).read


def passes(account: Account, *requests: Request) -> list[Tokens]:
    """What is held for requests, in flight all together."""

    async def hold() -> list[Tokens]:
        async with asyncio.timeout(5):
            return [await account.hold(each) for each in requests]

    return asyncio.run(hold())


def refusal(budget: Budget) -> str:
    with pytest.raises(BudgetSpent) as stop:
        budget.check()
    return str(stop.value)


def test_the_most_is_a_token_a_byte_with_room_for_the_chat_template():
    assert most_tokens(request("abc", max_tokens=7)) == Tokens(3 + 16 + 64, 7)
    assert most_tokens(request("é退", "abcd", max_tokens=0)) == Tokens(5 + 4 + 2 * 16 + 64, 0)


@pytest.mark.parametrize(("limit", "fits"), [(2 * MOST, 2), (2 * MOST - 1, 1), (MOST, 1), (MOST - 1, 0)])
def test_requests_pass_up_to_the_limit_itself(limit, fits):
    budget = Budget(limit)
    account = budget.account("m", READ)
    for _ in range(fits):
        passes(account, request("hello"))
        account.settle(account.held, Reply("x", MOST, 0))
    with pytest.raises(BudgetSpent):
        passes(account, request("hello"))
    assert account.replies == fits


@pytest.mark.parametrize(("limit", "waits"), [(2 * MOST, False), (2 * MOST - 1, True)])
def test_a_request_waits_while_what_is_in_flight_could_take_its_place(limit, waits):
    account = Budget(limit).account("m", READ)

    async def second_waits() -> bool:
        first = await account.hold(request("hello"))
        second = asyncio.create_task(account.hold(request("hello")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited = not second.done()
        account.settle(first, Reply("x", 1, 0))
        await asyncio.wait_for(second, 5)
        return waited

    assert asyncio.run(second_waits()) is waits
    assert account.held == most_tokens(request("hello"))


def test_what_is_held_is_released_whole():
    account = Budget(1e9).account("m", Price(1, 1))
    first, second = passes(account, request("hello"), request("a longer text", max_tokens=99))
    account.release(first)
    assert account.held == second
    account.release(second)
    assert account.held == Tokens(0, 0) == Tokens()


def test_waking_twice_wakes_nobody_twice():
    account = Budget(MOST).account("m", READ)

    async def cancelled_while_waiting() -> None:
        held = await account.hold(request("hello"))
        waiting = asyncio.create_task(account.hold(request("hello")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        account.release(held)
        account.budget.wake()

    asyncio.run(cancelled_while_waiting())


def test_failed_replies_are_paid_and_do_not_count_as_replies():
    paid = [Reply("", 5, 0, error="down"), Reply("x", 7, 1)]
    account = Budget().account("m", READ, paid)
    assert (account.settled, account.replies) == (Tokens(12, 1), 1)


@pytest.mark.parametrize(
    ("replies", "requests", "sentence"),
    [
        (0, 5, ""),
        (2, 0, ""),
        (2, 2, ""),
        (2, 3, " Its remaining 1 requests would cost about 4 USD."),
        (2, 5, " Its remaining 3 requests would cost about 12 USD."),
        (1, 5000, " Its remaining 4,999 requests would cost about 2e+04 USD."),
    ],
)
def test_a_forecast_goes_by_the_mean_of_the_replies_so_far(replies, requests, sentence):
    assert Budget().account("m", READ, [Reply("x", 4, 3)] * replies, requests).forecast() == sentence


def test_one_desks_message_has_no_list_and_counts_nothing_in_flight():
    budget = Budget(2 * MOST)
    account = budget.account("m", READ, [Reply("x", 20, 0)], requests=4)
    passes(account, request("hello"))
    with pytest.raises(BudgetSpent):
        passes(account, request("hello" * 40))
    message = refusal(budget)
    assert f"spent 20 USD on 1 replies; the next request to m can cost up to {MOST + 195} USD." in message
    assert "Its remaining 3 requests would cost about 60 USD." in message


def test_several_desks_are_listed_with_what_each_has_cost():
    budget = Budget(100)
    budget.account("m", READ, [Reply("x", 20, 0)])
    budget.account("free", None, [Reply("x", 1000, 1000)] * 2)
    judge = budget.account("judge", Price(0, 2e6, "USD"), [Reply("x", 5, 6)])
    with pytest.raises(BudgetSpent):
        passes(judge, request("hello", max_tokens=99))
    message = refusal(budget)
    assert (
        "spent 32 USD on 4 replies (m 20, free 0, judge 12); the next request to judge can cost up to 198 USD"
        in message
    )


def test_two_desks_are_enough_for_a_list():
    budget = Budget(100)
    budget.account("m", READ, [Reply("x", 20, 0)])
    with pytest.raises(BudgetSpent):
        passes(budget.account("judge", READ), request("hello" * 40))
    assert "(m 20, judge 0)" in refusal(budget)


def test_nothing_refused_raises_nothing():
    budget = Budget(MOST)
    passes(budget.account("m", READ), request("hello"))
    budget.check()


@pytest.mark.parametrize(
    ("price", "limit", "reply", "refused"),
    [
        (Price(1, 0), 1.0, Reply("x"), True),
        (Price(0, 1), 1.0, Reply("x"), True),
        (Price(0, 1), 1.0, Reply("x", 0, 5), True),
        (Price(0, 0), 1.0, Reply("x"), False),
        (Price(1, 1), float("inf"), Reply("x"), False),
        (Price(1, 1), 1.0, Reply("x", error="down"), False),
        (Price(1, 1), 1.0, Reply("x", 3, 0), False),
    ],
)
def test_a_limit_over_a_price_needs_replies_that_count_their_tokens(price, limit, reply, refused):
    account = Budget(limit).account("m", price)
    (held,) = passes(account, request("hello"))
    if refused:
        with pytest.raises(UserError, match="do not report token usage"):
            account.settle(held, reply)
    else:
        account.settle(held, reply)
    assert account.held == Tokens()


@pytest.mark.parametrize(
    ("prices", "limit", "refused"),
    [
        (("USD", "CNY"), 1.0, True),
        (("USD", None, "CNY"), 1.0, True),
        (("USD", "USD", None), 1.0, False),
        (("USD", "CNY"), float("inf"), False),
        ((None, None, "CNY"), 1.0, False),
    ],
)
def test_one_limit_is_one_currency(prices, limit, refused):
    budget = Budget(limit)
    accounts = [price and Price(1, 1, price) for price in prices]
    for number, price in enumerate(accounts[:-1]):
        budget.account(f"m{number}", price)
    if refused:
        with pytest.raises(UserError, match="CNY"):
            budget.account("last", accounts[-1])
    else:
        assert budget.account("last", accounts[-1]).label == "last"
        assert budget.currency == next(price for price in prices if price)
