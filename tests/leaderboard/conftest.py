"""Real runs of the baselines, made once, and boards for tests to put them on."""

import shutil
from pathlib import Path

import pytest

from cscbench.values import Context, Language

BOARD = """\
title: {en: Test board, zh: 测试榜}
about: {en: For tests., zh: 仅供测试。}
task: csconv_sample
tracks:
  - {id: gold, title: {en: Gold, zh: 参考}, context: gold, condition: joint, rank_by: strategy_accuracy}
  - {id: generated, title: {en: Generated, zh: 生成}, context: generated, condition: joint, rank_by: bleu_2}
columns:
  - {metric: strategy_accuracy, title: {en: Accuracy, zh: 准确率}}
  - {metric: bleu_2, title: {en: BLEU-2, zh: BLEU-2}}
  - {metric: rouge_l, title: {en: ROUGE-L, zh: ROUGE-L}}
  - {metric: stars, title: {en: Stars, zh: 星级}}
"""


@pytest.fixture(scope="session")
def runs(finished_runs) -> dict[str, Path]:
    """Finished runs by what they are."""
    return {
        **{model: finished_runs(model) for model in ("gold", "majority", "retrieval")},
        "retrieval generated": finished_runs("retrieval", context=Context.GENERATED),
        "retrieval en": finished_runs("retrieval", language=Language.EN),
    }


@pytest.fixture
def board(tmp_path) -> Path:
    """An empty board `test` in the working directory."""
    folder = tmp_path / "leaderboards" / "test"
    folder.mkdir(parents=True)
    (folder / "board.yaml").write_text(BOARD, encoding="utf-8")
    return folder


@pytest.fixture
def filled(board, runs) -> Path:
    """The board with the three baselines in gold context, and one in generated."""
    from cscbench.publishing.board.add import add
    from cscbench.publishing.board.boards import read_board

    for name in ("gold", "majority", "retrieval", "retrieval generated"):
        add(read_board(board), board, runs[name])
    return board


def copied(run: Path, to: Path) -> Path:
    """A copy of a run, to be damaged."""
    return Path(shutil.copytree(run, to / run.name))
