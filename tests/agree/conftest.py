"""Runs to compare: of a third party's adapter whose replies are known beforehand, and of the baselines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run

# It answers with the reference. From turn `since` on it keeps three characters of it, and says another strategy and
# other words; at turn `fails` there is no answer.
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
        strategy, text = turn.strategy, turn.text
        if request.turn >= self.options.since:
            strategy, text = "OT" if turn.strategy != "OT" else "ID", turn.text[:3] + "~其他 other"
        said = {"joint": f"[{strategy}] {text}", "strategy": strategy, "reply": text}[request.step]
        return Reply(said, tokens_in=10, tokens_out=len(said), finish_reason="stop")

    def close(self):
        pass

KIND = Backend(load=lambda s: LoadedAdapter(Parrot(s), {"dtype": os.environ.get("DTYPE", "float32")}))
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
    """A folder with the adapter's package, installed as far as an entry point goes, and its card."""
    place = tmp_path_factory.mktemp("agree")
    (place / "parrot_plugin.py").write_text(PLUGIN, encoding="utf-8")
    info = place / "parrot_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[cscbench.adapters]\nparrot = parrot_plugin:KIND\n", encoding="utf-8")
    (place / "model_cards").mkdir()
    (place / "model_cards/parrot.md").write_text(CARD, encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def played(workplace: Path) -> Callable[..., Path]:
    """The folder of a run, by its model, its `RunOptions`, and the dtype that the adapter claims; each is made once."""
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
