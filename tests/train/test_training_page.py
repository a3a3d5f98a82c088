"""docs/training.md says what the code does: its commands run, its defaults are those of the recipe."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from pages import ROOT, commands, page, table
from test_resume import Forked

from cscbench.cli.train import train
from cscbench.train.options import Recipe

PAGE = page("training.md")
FIELD = {"lora_r": "rank", "lora_alpha": "alpha", "lr": "learning_rate", "targets": "targets"}


@pytest.fixture
def small(tiny_model, tmp_path):
    """Cards of the page's names with a small model, and a few dialogues in files of the published names."""
    (tmp_path / "model_cards").mkdir()
    for name in ("smollm2-135m", "qwen7b"):
        (tmp_path / f"model_cards/{name}.md").write_text(
            f"---\nname: {name}\nadapter: hf\nweights: {tiny_model}\nsampling: {{max_tokens: 4}}\n"
            "options: {device: cpu}\n---\n"
        )
    for name, part in (("RoleCS", "train"), ("CSConv", "test")):
        lines = (ROOT / f"tasks/csconv_sample/data/{part}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if '"language": "en"' in line or '"language":"en"' in line]
        short = [{**row, "dialogue": row["dialogue"][:3]} for row in rows[:3]]
        (tmp_path / f"{name}.json").write_text(json.dumps(short), encoding="utf-8")


@pytest.mark.slow
def test_every_command_of_the_page_runs(small, tmp_path):
    """Each as a process of its own; without BERTScore, which training does not change."""
    for program, *rest in commands(PAGE):
        assert program == "cscbench"
        quick = ["--encoder", "none"] if rest[0] == "run" else []
        assert Forked([*rest, *quick], tmp_path).wait() == 0, (rest, (tmp_path / "said.txt").read_text())
    for out in ("first", "rolecs"):
        assert Path(f"adapters/{out}/adapter_model.safetensors").exists()


def test_the_table_lists_every_setting_with_its_default():
    documented = {}
    for row in table(PAGE, "Settings"):
        names, values = (cell.replace("`", "").split(", ") for cell in row[:2])
        if len(names) == 1:
            values = [", ".join(values)]
        documented |= dict(zip(names, values, strict=True))
    fields = {field.name: field.default for field in msgspec.structs.fields(Recipe)}
    options = {option.name: option.opts[0] for option in train.params}
    real = {}
    for name, flag in options.items():
        field = FIELD.get(name, name)
        if field in fields:
            value = fields[field]
            real[flag] = ", ".join(value) if isinstance(value, tuple) else str(value)
    assert documented == real


def test_every_option_in_the_page_exists():
    known = {flag for option in train.params for flag in option.opts}
    assert set(re.findall(r"`(--[a-z-]+)`", PAGE)) - {"--lora"} <= known
