"""Scripted judges behind a real server: they read what they are given, and answer as a judge does."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fault_server import Call, completion

CODES = ("opening", "empathy", "handling", "clarity", "closing")


def replied(call: Call) -> str:
    """The text to be rated, from the first question."""
    asked = call.body["messages"][1]["content"]
    mark = "reply" if "<reply>" in asked else "conversation"
    return re.search(rf"<{mark}>\n(.*?)\n</{mark}>", asked, re.DOTALL)[1]


def verdict(stars: int, reason: str = "so it is") -> str:
    """An answer in the form that the rubric asks for."""
    return json.dumps({"reason": reason, "stars": {**dict.fromkeys(CODES, stars), "overall": stars}})


def says(text: Callable[[Call], str]) -> Callable[[Call], dict[str, Any]]:
    """A server's answers, with a text computed from the call."""

    def answer(call: Call) -> dict[str, Any]:
        reply = completion(call)
        if len(call.body["messages"]) == 1:  # the adapter's own short question at its start
            return reply
        reply["choices"][0]["message"]["content"] = text(call)
        return reply

    return answer


def judge_card(url: str, name: str = "judge", family: str = "", **fields: Any) -> str:
    """A card for a judge behind a server, in the working directory; its name."""
    folder = Path("model_cards")
    folder.mkdir(exist_ok=True)
    more = "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())
    (folder / f"{name}.md").write_text(
        f"---\nname: {name}\nadapter: openai\nfamily: {family!r}\n{more}price: {{input: 1.0, output: 2.0}}\n"
        f"options: {{model: echo, base_url: {url!r}}}\n---\n",
        encoding="utf-8",
    )
    return name
