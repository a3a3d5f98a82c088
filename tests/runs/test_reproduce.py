"""The command that makes a run again: what differs from the defaults, and nothing else."""

from pathlib import Path

import msgspec
import pytest

from cscbench.runs.finished import load
from cscbench.runs.reproduce import command_of
from cscbench.values import Condition, Context, JudgeRecord, JudgingRecord, Language, Level

(RUN, _) = (load(folder) for folder in sorted((Path(__file__).parents[1] / "data/77eb998/runs").iterdir()))
PLAIN = "cscbench run --model majority --task csconv_sample --context gold --condition joint"
ENCODER = RUN.record.task.encoder


def judged(level, *scores) -> JudgingRecord:
    judges = tuple(JudgeRecord(f"judge{number}", "0", "", score) for number, score in enumerate(scores))
    return JudgingRecord(judges, level, (), {})


def command(model=None, protocol=None, task=None, **scoring) -> str:
    """The command of the old run with some fields replaced."""
    change = msgspec.structs.replace
    record = RUN.record
    record = change(
        record,
        model=change(record.model, **(model or {})),
        protocol=change(record.protocol, **{"limit": 0, **(protocol or {})}),
        task=change(record.task, **(task or {})),
    )
    scored = {"scorers": record.task.scorers, "encoder": f"{record.task.encoder}@0123456789ab", **scoring}
    return command_of(record, change(RUN.results, scoring=change(RUN.results.scoring, **scored)))


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"protocol": {"language": Language.ZH}}, "--language zh"),
        ({"protocol": {"limit": 3}}, "--limit 3"),
        ({"protocol": {"seed": 7}}, "--seed 7"),
        ({"scorers": (*RUN.record.task.scorers, "diversity", "stars", "length")}, "--scorer diversity --scorer length"),
        ({"encoder": "another@0123456789ab"}, "--encoder another"),
        ({"encoder": ""}, "--encoder none"),
        ({"encoder": "", "task": {"scorers": ("bleu",)}, "scorers": ("bleu",)}, ""),
        ({"encoder": "", "task": {"scorers": ("bleu",), "encoder": ""}, "scorers": ("bleu",)}, ""),
        ({"encoder": "mine@0", "task": {"encoder": ""}}, "--encoder mine"),
        ({"judging": judged(Level.TURN, "mean,repeats:3", "expected,repeats:1")}, "--judge judge0,judge1"),
        ({"judging": judged(Level.TURN, "mean,repeats:1")}, "--judge judge0 --set judge.repeats=1"),
        (
            {"judging": judged(Level.TURN, "mean,repeats:5", "expected,repeats:5")},
            "--judge judge0,judge1 --set judge.repeats=5",
        ),
        ({"judging": judged(Level.TURN, "mean,repeats:1", "mean,repeats:5")}, "--judge judge0,judge1"),
        ({"judging": judged(Level.DIALOGUE, "mean,repeats:3")}, "--judge judge0 --set judge.level=dialogue"),
        (
            {"judging": judged(Level.DIALOGUE, "expected,repeats:2", "mean,repeats:2")},
            "--judge judge0,judge1 --set judge.level=dialogue --set judge.repeats=2",
        ),
        (
            {"protocol": {"overrides": ("card.sampling.top_p=0.9", "card.lora=x", "judge.repeats=1")}},
            "--set card.sampling.top_p=0.9",
        ),
        ({"protocol": {"limit": 3, "seed": -1}, "encoder": ""}, "--limit 3 --seed -1 --encoder none"),
        ({}, ""),
    ],
)
def test_what_differs_from_the_defaults_is_an_option(fields, more):
    assert command(**fields) == f"{PLAIN} {more}".strip()


def test_model_context_condition_and_lora_are_always_as_they_were():
    text = command(
        model={"name": "qwen+lora", "lora": "weights"},
        protocol={"context": Context.GENERATED, "condition": Condition.TWO_STEP},
    )
    assert text == (
        "cscbench run --model qwen+lora --task csconv_sample --lora PATH --context generated --condition two-step"
    )
