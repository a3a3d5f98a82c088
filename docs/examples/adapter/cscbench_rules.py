"""A rule-based supporter: the first rule of the card whose pattern matches the customer's words answers."""

import re

from cscbench.content.cards import read_options
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.values import Frozen, Reply, Request


class Rule(Frozen, frozen=True):
    when: str
    strategy: str
    say: str


class Rules(Frozen, frozen=True):
    rules: tuple[Rule, ...]

    async def generate(self, request: Request) -> Reply:
        rule = next((rule for rule in self.rules if re.search(rule.when, request.customer_text, re.IGNORECASE)), None)
        return Reply(f"[{rule.strategy}] {rule.say}" if rule else "", finish_reason="stop")

    def close(self) -> None: ...


BACKEND = Backend(load=lambda context: LoadedAdapter(read_options(context.card, Rules)), packages=("cscbench-rules",))
