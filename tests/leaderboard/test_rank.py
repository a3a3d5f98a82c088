"""Ranks, ties, and what is not ranked."""

import msgspec
import pytest

from cscbench.comparing.compare import compare
from cscbench.publishing.board.add import add
from cscbench.publishing.board.boards import finished_run, read_board, read_entries, run_entries
from cscbench.publishing.board.rank import REPORTED, rank
from cscbench.publishing.board.records import ENTRY_SCHEMA, BoardEntry, ReportedEntry, ReportedValue, RunEntry
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Context

RESAMPLING = Resampling()


def ranked(folder, change=lambda entries: entries):
    return rank(read_board(folder), change(read_entries(folder)), RESAMPLING)


def labels(block, folder):
    names = {
        listed.entry.id: listed.entry.results.model.name
        for listed in read_entries(folder)
        if isinstance(listed.entry, RunEntry)
    }
    return [names.get(row.entry, row.entry) for row in block.rows]


def test_runs_are_ranked_by_the_tracks_metric_on_the_same_dialogues(filled):
    gold, generated = ranked(filled)
    (block,) = gold.blocks
    assert labels(block, filled) == ["gold", "retrieval", "majority"]
    assert [row.cells[0].rank for row in block.rows] == [1, 2, 3]
    assert [row.cells[0].tie_group for row in block.rows] == [1, 2, 3]
    assert block.rows[0].cells[3] is None  # there were no judges
    assert block.title.en == "40 dialogues, 419 turns (zh+en)"
    assert [labels(block, filled) for block in generated.blocks] == [["retrieval"]]


def test_a_rank_is_of_each_column_and_equal_values_share_it(filled):
    def twins(entries):
        retrieval = next(listed for listed in entries if listed.entry.id.startswith("csconv_sample--gold--retrieval"))
        return (*entries, BoardEntry(msgspec.structs.replace(retrieval.entry, id="zwilling"), retrieval.folder))

    (block,) = ranked(filled, twins)[0].blocks
    assert [row.cells[1].rank for row in block.rows] == [1, 2, 2, 4]
    assert [row.cells[1].tie_group for row in block.rows] == [1, 2, 2, 3]


def test_ties_agree_with_the_paired_tests_of_compare(filled):
    (block,) = ranked(filled)[0].blocks
    runs = [
        finished_run(entry, folder)
        for entry, folder in run_entries(read_entries(filled))
        if entry.results.protocol.context is Context.GOLD
    ]
    compared = {table.name: {row.run: row.group for row in table.rows} for table in compare(runs, RESAMPLING).metrics}
    for row in block.rows:
        for cell in row.cells:
            if cell is not None:
                assert cell.tie_group == compared[cell.metric][row.entry]


def test_other_dialogues_are_another_block(filled, runs):
    add(read_board(filled), filled, runs["retrieval en"])
    large, small = ranked(filled)[0].blocks
    assert len(large.rows) == 3
    assert small.title.en.endswith("(en)")
    assert [(row.cells[0].rank, row.cells[0].tie_group) for row in small.rows] == [(1, None)]


def test_what_was_measured_otherwise_or_is_partial_is_never_ranked(filled):
    def altered(entries):
        changed = []
        for listed in entries:
            entry = listed.entry
            if entry.results.model.name == "gold":
                metrics = tuple(
                    msgspec.structs.replace(m, signature=m.signature.replace("smooth:exp", "smooth:floor"))
                    for m in entry.results.metrics
                )
                entry = msgspec.structs.replace(entry, results=msgspec.structs.replace(entry.results, metrics=metrics))
            if entry.results.model.name == "majority":
                run = msgspec.structs.replace(entry.results.run, complete=False)
                entry = msgspec.structs.replace(entry, results=msgspec.structs.replace(entry.results, run=run))
            changed.append(BoardEntry(entry, listed.folder))
        return changed

    (block,) = ranked(filled, altered)[0].blocks
    cells = dict(zip(labels(block, filled), [row.cells for row in block.rows], strict=True))
    assert cells["gold"][1].not_ranked_because == "measured differently: smooth:floor"
    assert (cells["gold"][1].rank, cells["gold"][1].tie_group) == (None, None)
    assert cells["gold"][0].rank == 1  # accuracy was measured alike
    assert (cells["majority"][0].rank, cells["majority"][0].not_ranked_because) == (None, "partial: replies failed")
    assert cells["retrieval"][1].rank == 1


def test_reported_rows_stand_last_and_have_no_rank(filled):
    def with_reported(entries):
        values = (ReportedValue("bleu_2", 99.0), ReportedValue("strategy_accuracy", 99.0))
        entry = ReportedEntry(
            ENTRY_SCHEMA, "theirs", "Theirs", "", 0, False, Context.GOLD, "csconv_sample", "a paper", "", (), values
        )
        return (*entries, BoardEntry(entry, None))

    gold, generated = ranked(filled, with_reported)
    assert [block.reported for block in gold.blocks] == [False, True]
    assert gold.blocks[1].title == REPORTED
    ((row),) = gold.blocks[1].rows
    assert [cell and (cell.value, cell.rank, cell.signature) for cell in row.cells] == [
        (99.0, None, ""),
        (99.0, None, ""),
        None,
        None,
    ]
    assert [block.reported for block in generated.blocks] == [False]


def test_ranking_is_the_same_each_time_and_in_any_order(filled):
    assert ranked(filled) == ranked(filled, lambda entries: entries[::-1])


def test_one_dialogue_alone_ties_nothing(filled, finished_runs):
    for model in ("gold", "majority"):
        add(read_board(filled), filled, finished_runs(model, limit=1))
    block = next(block for block in ranked(filled)[0].blocks if block.title.en.startswith("1 dialogues"))
    assert [row.cells[0].rank for row in block.rows] == [1, 2]
    assert {row.cells[0].tie_group for row in block.rows} == {None}


def test_missing_scores_are_an_error_that_names_the_file(filled):
    from cscbench.values import UserError

    next(filled.glob("entries/*--gold--majority--*/scores.parquet")).unlink()
    with pytest.raises(UserError, match=r"scores\.parquet: no such file"):
        ranked(filled)
