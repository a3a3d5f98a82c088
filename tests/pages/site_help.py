"""Boards to build sites from: real runs of the baselines, reported rows, and a simple ranking."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from hostile import STRINGS

from cscbench.publishing.board.records import (
    ENTRY_SCHEMA,
    Bilingual,
    Block,
    Board,
    BoardEntry,
    Cell,
    Column,
    RankedRow,
    RankedTrack,
    ReportedEntry,
    ReportedValue,
    RunEntry,
    Track,
)
from cscbench.runs import results
from cscbench.values import Condition, Context

COLUMNS = tuple(
    Column(metric, Bilingual(title, title))
    for metric, title in (
        ("strategy_accuracy", "Accuracy"),
        ("strategy_macro_f1", "Macro F1"),
        ("bleu_2", "BLEU-2"),
        ("bleu_4", "BLEU-4"),
        ("rouge_l", "ROUGE-L"),
    )
)
TRACKS = tuple(
    Track(context.value, Bilingual(en, zh), context, Condition.JOINT, "strategy_accuracy")
    for context, en, zh in (
        (Context.GOLD, "Gold context", "参考上文"),
        (Context.GENERATED, "Generated context", "自生成上文"),
    )
)
BOARD = Board(
    name="sample",
    title=Bilingual("CSConv sample", "CSConv 样例榜"),
    about=Bilingual(
        "Baselines on 40 dialogues written for cscbench. They are not CSConv.",
        "基线模型在为 cscbench 编写的 40 段对话上的结果；这些对话不是 CSConv。",
    ),
    task="csconv_sample",
    tracks=TRACKS,
    columns=COLUMNS,
    baseline="majority",
)
# Two families of the paper's table: small and large, plain and tuned.
PAPER = (
    ("LLaMA3.1-Instruct 8B", "llama3.1", 8.0e9, False, (4.28, 1.44, 3.62, 17.16), (2.62, 0.89, 1.31, 13.75)),
    ("LLaMA3.1-Instruct 8B + RoleCS", "llama3.1", 8.0e9, True, (11.06, 4.77, 6.93, 42.15), (8.80, 3.72, 4.52, 35.73)),
    ("LLaMA3.1-Instruct 70B", "llama3.1", 70.6e9, False, (6.85, 2.38, 4.10, 38.78), (5.57, 1.76, 2.59, 30.36)),
    ("LLaMA3.1-Instruct 70B + RoleCS", "llama3.1", 70.6e9, True, (11.73, 5.11, 7.64, 42.79), (9.62, 4.00, 4.89, 39.44)),
    ("Qwen2.5-Instruct 7B", "qwen2.5", 7.6e9, False, (6.73, 2.29, 3.80, 18.78), (5.11, 1.53, 2.43, 19.39)),
)


def make_runs(folder: Path, models: Sequence[str], *options: str) -> list[Path]:
    """Real runs through the command, of each model in both contexts."""
    folder.mkdir(parents=True, exist_ok=True)
    for model in models:
        for context in Context:
            command = ["run", "--model", model, "--context", context.value, "--encoder", "none", *options]
            done = subprocess.run(
                [sys.executable, "-m", "cscbench", *command, "--out", folder],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONUTF8": "1"},
            )
            assert done.returncode == 0, done.stderr
    return sorted(path for path in folder.iterdir() if (path / "results.json").exists())


def run_entry(folder: Path, name: str = "") -> BoardEntry:
    run_results = results.read(folder)
    command = f"cscbench run --model {run_results.model.label} --context {run_results.protocol.context} --encoder none"
    entry = RunEntry(ENTRY_SCHEMA, name or run_results.run.name, "2026-11-24", command, "0123456789abcdef", run_results)
    return BoardEntry(entry, folder)


def reported() -> list[BoardEntry]:
    rows = []
    for label, family, size, lora, *contexts in PAPER:
        for context, values in zip(Context, contexts, strict=True):
            names = ("bleu_2", "bleu_4", "rouge_l", "strategy_accuracy")
            entry = ReportedEntry(
                schema=ENTRY_SCHEMA,
                id=f"paper-{label.lower().replace(' ', '-').replace('+-', '')}-{context}",
                label=label,
                family=family,
                parameters=size,
                lora=lora,
                context=context,
                task="csconv",
                source="Evaluating, Synthesizing, and Enhancing for Customer Support Conversation",
                url="https://arxiv.org/abs/2508.04423",
                unknowns=("prompts", "decoding", "tokenizer of BLEU"),
                values=tuple(ReportedValue(name, value) for name, value in zip(names, values, strict=True)),
            )
            rows.append(BoardEntry(entry, None))
    return rows


def rank(board: Board, entries: Sequence[BoardEntry]) -> list[RankedTrack]:
    """Rank by value, with ties where intervals overlap; these are not the board's statistics."""
    return [_track(board, track, entries) for track in board.tracks]


def _track(board: Board, track: Track, entries: Sequence[BoardEntry]) -> RankedTrack:
    runs = [
        listed.entry
        for listed in entries
        if isinstance(listed.entry, RunEntry) and listed.entry.results.protocol.context is track.context
    ]
    reported_rows = [
        listed.entry
        for listed in entries
        if isinstance(listed.entry, ReportedEntry) and listed.entry.context is track.context
    ]
    blocks = []
    if runs:
        by_metric = {
            column.metric: _ranked([(run.id, metric) for run in runs for metric in run.results.metrics], column.metric)
            for column in board.columns
        }
        rows = [
            RankedRow(run.id, tuple(by_metric[column.metric].get(run.id) for column in board.columns)) for run in runs
        ]
        rows.sort(key=lambda row: -(cell.value if (cell := row.cells[0]) else 0))
        title = Bilingual("40 dialogues, 419 turns", "40 段对话，419 轮")
        blocks.append(Block(title, False, tuple(rows)))
    if reported_rows:
        values = {row.id: {value.metric: value.value for value in row.values} for row in reported_rows}
        rows = [
            RankedRow(
                row.id,
                tuple(
                    Cell(column.metric, values[row.id][column.metric]) if column.metric in values[row.id] else None
                    for column in board.columns
                ),
            )
            for row in reported_rows
        ]
        blocks.append(Block(Bilingual("Reported by the paper", "论文报告"), True, tuple(rows)))
    return RankedTrack(track, board.columns, tuple(blocks))


def _ranked(values, metric) -> dict[str, Cell]:
    ordered = sorted(((run, value) for run, value in values if value.name == metric), key=lambda row: -row[1].value)
    cells, group, best = {}, 0, None
    for number, (run, value) in enumerate(ordered, 1):
        if best is None or (value.high or value.value) < (best.low or best.value):
            group, best = group + 1, value
        cells[run] = Cell(metric, value.value, value.low, value.high, value.signature, number, group)
    return cells


def renamed(listed: BoardEntry, name: str, label: str, **model) -> BoardEntry:
    """Return the entry under another id and label, with the same folder of turns."""
    entry = listed.entry
    card = msgspec.structs.replace(entry.results.model, label=label, **model)
    changed = msgspec.structs.replace(entry.results, model=card)
    return BoardEntry(msgspec.structs.replace(entry, id=name, results=changed), listed.folder)


def hostile_entries(run: Path, folder: Path) -> list[BoardEntry]:
    """Return a run and a reported row per hostile string, with the string in every field that others can write."""
    return [
        entry for n, text in enumerate(STRINGS) for entry in (_hostile_run(run, folder, n, text), _hostile_row(n, text))
    ]


def _hostile_run(run: Path, folder: Path, number: int, text: str) -> BoardEntry:
    copy = folder / f"{number}"
    copy.mkdir()
    for name in ("run.json", "scores.parquet"):
        (copy / name).write_bytes((run / name).read_bytes())
    pairs = [
        msgspec.structs.replace(pair, text=text, topic=text, reference=f"{text} {pair.turn}")
        for pair in results.read_pairs(run)
    ]
    results.write_pairs(copy, pairs)
    listed = renamed(
        run_entry(run), text, text, family=text, weights=text, license=text, revision=text, lora=text, adapter=text
    )
    run_results = listed.entry.results
    tables = {**run_results.tables, "by_topic": [{**row, "topic": text} for row in run_results.tables["by_topic"]]}
    metrics = tuple(msgspec.structs.replace(metric, signature=text) for metric in run_results.metrics)
    changed = msgspec.structs.replace(run_results, tables=tables, notes=(text,), metrics=metrics)
    entry = msgspec.structs.replace(listed.entry, results=changed, command=text, commit=text, added=text)
    return BoardEntry(entry, copy)


def _hostile_row(number: int, text: str) -> BoardEntry:
    values = (ReportedValue("strategy_accuracy", number), ReportedValue(text, 1.0))
    entry = ReportedEntry(
        ENTRY_SCHEMA, f"row {text}", text, text, 7e9, False, Context.GOLD, text, text, text, (text,), values
    )
    return BoardEntry(entry, None)
