"""A run's budget: what replies may cost in all, kept by setting aside the most that each request can cost."""

import asyncio
import math
from collections.abc import Iterable

from cscbench.asking.cost import charge
from cscbench.values.asking import Price, Reply, Request
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen

# What chat templates write around messages: role marks, and a system prompt of their own (Llama 3.1's has a date).
_TOKENS_AROUND_A_MESSAGE = 16
_TOKENS_AROUND_A_PROMPT = 64


class BudgetSpent(Exception):
    """The next request could cost more than is left; what is on disk is good, and nothing is half done."""


class Tokens(Frozen, frozen=True):
    """Tokens in and out, of one request or of many."""

    read: int = 0
    written: int = 0


def most_tokens(request: Request) -> Tokens:
    """The most that a request can take: a tokenizer makes at most one token of a byte of UTF-8."""
    text = sum(len(message.content.encode()) + _TOKENS_AROUND_A_MESSAGE for message in request.messages)
    return Tokens(text + _TOKENS_AROUND_A_PROMPT, request.sampling.max_tokens)


class Budget:
    """Lets a request pass if all that are in flight can still be paid for, even if each takes the most it can.

    `limit` is in the price's currency. `before` are the replies that earlier commands paid for, failed ones too.
    `requests` is how many the whole run has, for the message.
    """

    def __init__(self, price: Price, limit: float, before: Iterable[Reply] = (), requests: int = 0) -> None:
        self._price, self._limit, self._requests = price, limit, requests
        self._spent = self._held = Tokens()
        self._replies = 0
        self._refused: Tokens | None = None
        self._changed = asyncio.Event()
        for reply in before:
            self._pay(reply)

    async def hold(self, request: Request) -> Tokens:
        """Set aside the most that a request can cost, waiting for others to come back where that is needed.

        Raises:
            BudgetSpent: even with nothing in flight there is not enough left, or was not for another request.
        """
        most = most_tokens(request)
        while True:
            if self._refused is None and not self._fits(self._spent, most):
                self._refused = most
            if self._refused is not None:
                raise BudgetSpent
            if self._fits(self._spent, self._held, most):
                self._held = _sum(self._held, most)
                return most
            self._changed.clear()
            await self._changed.wait()

    def settle(self, held: Tokens, reply: Reply) -> None:
        """Pay for a reply with what was set aside for it.

        Raises:
            UserError: the reply does not say what it took.
        """
        self._held = Tokens(self._held.read - held.read, self._held.written - held.written)
        self._pay(reply)
        self._changed.set()
        if math.isfinite(self._limit) and not reply.error and not reply.tokens_in:
            raise UserError("--max-cost cannot be kept: the replies do not say how many tokens they took")

    def check(self) -> None:
        """To be called when all that was in flight has come back.

        Raises:
            BudgetSpent: a request did not fit; what was spent, what it needs, and how to go on.
        """
        if self._refused is not None:
            raise BudgetSpent(self._message(self._cost(self._refused)))

    def _pay(self, reply: Reply) -> None:
        self._spent = _sum(self._spent, Tokens(reply.tokens_in, reply.tokens_out))
        self._replies += not reply.error

    def _fits(self, *tokens: Tokens) -> bool:
        return self._cost(*tokens) <= self._limit

    def _cost(self, *tokens: Tokens) -> float:
        total = _sum(*tokens)
        return charge(self._price, total.read, total.written)

    def _message(self, needed: float) -> str:
        currency, spent = self._price.currency, self._cost(self._spent)
        rest, ahead = self._requests - self._replies, ""
        if self._replies and rest > 0:
            ahead = f" The {rest:,} that are left would cost about {spent / self._replies * rest:.3g} {currency}."
        return (
            f"stopped at --max-cost {self._limit:g}: {spent:.6g} {currency} are spent on {self._replies:,} replies, "
            f"and the next can cost up to {needed:.3g} {currency}.{ahead}\n"
            "All replies are on disk: the same command with a larger --max-cost goes on there"
        )


def no_budget() -> Budget:
    """Lets everything pass."""
    return Budget(Price(0, 0), math.inf)


def _sum(*tokens: Tokens) -> Tokens:
    return Tokens(sum(one.read for one in tokens), sum(one.written for one in tokens))
