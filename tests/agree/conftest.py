"""Runs to compare: of a third-party adapter with known replies, and of the baselines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run

# It answers with the reference. From turn `since`, it keeps three characters and continues with another strategy and
# other words; at turn `fails` it raises an error.
PLUGIN = """
import os
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.content.cards import read_options
from cscbench.values import Reply
from cscbench.values import Frozen

class Options(Frozen, frozen=True):
    since: int = 99
    fails: int = -1

class Parrot:
    def __init__(self, context):
        self.dialogues = {dialogue.id: dialogue for dialogue in context.test}
        self.options = read_options(context.card, Options)

    async def generate(self, request):
        turn = self.dialogues[request.thread].turns[request.turn]
        if request.turn == self.options.fails:
            raise TimeoutError("nobody there")
        strategy, words = turn.strategy, turn.text
        if request.turn >= self.options.since:
            strategy, words = "OT" if turn.strategy != "OT" else "ID", turn.text[:3] + "~其他 other"
        text = {"joint": f"[{strategy}] {words}", "strategy": strategy, "reply": words}[request.step]
        return Reply(text, tokens_in=10, tokens_out=len(text), finish_reason="stop")

    def close(self):
        pass

BACKEND = Backend(load=lambda s: LoadedAdapter(Parrot(s), {"dtype": os.environ.get("DTYPE", "float32")}))
"""
CARD = """---
name: parrot
adapter: parrot
languages: [zh, en]
variants:
  late: {options: {since: 4}}
  fails: {options: {fails: 2}}
---
"""


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapter's package, installed with its entry point, and its card."""
    place = tmp_path_factory.mktemp("agree")
    (place / "parrot_plugin.py").write_text(PLUGIN, encoding="utf-8")
    info = place / "parrot_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[cscbench.adapters]\nparrot = parrot_plugin:BACKEND\n", encoding="utf-8")
    (place / "model_cards").mkdir()
    (place / "model_cards/parrot.md").write_text(CARD, encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def played(workplace: Path) -> Callable[..., Path]:
    """Return the folder of a run, by model, `RunOptions`, and the dtype that the adapter reports; each is run once."""
    made: dict[tuple[object, ...], Path] = {}

    def play(model: str, dtype: str = "float32", **options: object) -> Path:
        key = (model, dtype, *options.items())
        if key not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(workplace)
                patch.syspath_prepend(workplace)
                patch.setenv("DTYPE", dtype)
                chosen = RunOptions(model=model, encoder="none", out=str(workplace / f"out{len(made)}"), **options)
                made[key] = run(prepare(chosen)).folder
        return made[key]

    return play
