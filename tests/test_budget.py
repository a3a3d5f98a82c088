"""The budget: whatever is asked and answered when, it is never overshot, and used as far as it goes."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.asking.budget import Account, Budget, BudgetSpent, most_tokens
from cscbench.values import ChatRole, Message, Price, Reply, Request, Sampling, Step, UserError, estimate_tokens

PRICE = Price(1.0, 4.0)


def request(text: str = "hello", max_tokens: int = 10) -> Request:
    message = Message(ChatRole.USER, text)
    return Request("d/0", "d", 0, Step.JOINT, (message,), Sampling(max_tokens=max_tokens))


def cost(reply: Reply) -> float:
    return (reply.tokens_in * PRICE.input + reply.tokens_out * PRICE.output) / 1e6


MOST = cost(Reply("", tokens_in=most_tokens(request()).read, tokens_out=10))


def play(budget: Account, replies: list[Reply], workers: int) -> list[Reply]:
    """Return what is answered while this many workers ask as long as they may; replies take different times."""
    answered: list[Reply] = []
    waiting = iter(enumerate(replies))

    async def worker() -> None:
        for number, reply in waiting:
            try:
                held = await budget.hold(request())
            except BudgetSpent:
                return
            for _ in range(number * 7 % 5):
                await asyncio.sleep(0)
            answered.append(reply)
            budget.settle(held, reply)

    async def main() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())

    asyncio.run(main())
    return answered


REPLIES = st.lists(
    st.builds(
        lambda read, written, error: Reply("", tokens_in=read, tokens_out=written, error=error),
        st.integers(1, most_tokens(request()).read),
        st.integers(0, 10),
        st.sampled_from(["", "", "failed"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=50, deadline=None)
@given(replies=REPLIES, share=st.floats(0, 1.2), workers=st.integers(1, 9), before=REPLIES)
def test_it_is_never_overshot_and_stops_only_where_the_next_might_not_fit(replies, share, workers, before):
    paid = sum(map(cost, before))
    limit = paid + share * len(replies) * MOST
    budget = Budget(limit).account("m", PRICE, before)
    answered = play(budget, replies, workers)
    spent = paid + sum(map(cost, answered))
    assert spent <= limit * (1 + 1e-12)
    if len(answered) == len(replies):
        budget.budget.check()
    else:
        assert spent + MOST > limit * (1 - 1e-12)  # sums of floats differ in their last bits
        with pytest.raises(BudgetSpent):
            budget.budget.check()


def test_those_who_do_not_fit_beside_others_wait_for_them_and_are_asked():
    cheap = [Reply("x", tokens_in=1, tokens_out=1)] * 12
    assert play(Budget(2.5 * MOST).account("m", PRICE), cheap, workers=6) == cheap


def test_the_message_says_what_was_spent_what_is_needed_and_how_to_go_on():
    price, before = Price(1.0, 4.0, "EUR"), [Reply("x", tokens_in=20, tokens_out=5)] * 2
    budget = Budget(2 * MOST).account("m", price, before, requests=10)
    play(budget, [Reply("x", tokens_in=90, tokens_out=10)] * 8, workers=3)
    with pytest.raises(BudgetSpent) as raised:
        budget.budget.check()
    message = str(raised.value)
    assert message.startswith(f"stopped at --max-cost {2 * MOST:g}: spent 0.00021 EUR on 3 replies; ")
    assert f"the next request to m can cost up to {MOST:.3g} EUR" in message
    assert "Its remaining 7 requests would cost about 0.00049 EUR." in message
    assert "repeat the command with a larger --max-cost to continue" in message


def test_no_budget_lets_everything_pass_even_replies_that_count_no_tokens():
    assert len(play(Budget().account("m"), [Reply("x")] * 9, workers=3)) == 9


def test_a_budget_over_replies_that_count_no_tokens_is_refused():
    with pytest.raises(ExceptionGroup) as raised:
        play(Budget(1.0).account("m", PRICE), [Reply("x")], workers=1)
    assert raised.group_contains(UserError, match="do not report token usage")


@pytest.mark.parametrize("limit", [float("nan"), -1.0])
def test_a_limit_that_is_none_lets_nothing_pass(limit):
    assert play(Budget(limit).account("m", PRICE), [Reply("x", tokens_in=1)], workers=1) == []


@pytest.mark.parametrize(
    "text", ["", "Where is my order?", "我的退款怎么还没有到账？", "🙂" * 20, "a b c d e f g", "1234567890"]
)
def test_no_tokenizer_makes_more_tokens_than_are_set_aside(text, smollm2):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    rows = [{"role": "user", "content": text}]
    real = tokenizer.apply_chat_template(rows, tokenize=True, add_generation_prompt=True, return_dict=True)
    assert estimate_tokens(text) <= most_tokens(request(text)).read
    assert len(real["input_ids"]) <= most_tokens(request(text)).read
