"""Finished runs for reports."""

from pathlib import Path

import pytest

from cscbench.values import Context


@pytest.fixture(scope="session")
def folders(finished_runs) -> dict[str, Path]:
    """Runs of baselines by name: 24 dialogues each; `generated` is retrieval with its own history, `short` has 3."""
    return {
        "retrieval": finished_runs("retrieval", limit=24),
        "majority": finished_runs("majority", limit=24),
        "generated": finished_runs("retrieval", limit=24, context=Context.GENERATED),
        "short": finished_runs("retrieval", limit=3),
    }
