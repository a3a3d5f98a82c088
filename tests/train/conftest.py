"""A task that trains quickly: short prompts, short dialogues."""

import json
from pathlib import Path

import pytest

from cscbench.content.tasks import find_task
from cscbench.models.chat import Chat

PROMPT = """\
system: Choose a strategy, then answer.
opening: (A customer is connected.)
steps:
  - step: joint
    user: "{{ customer }}"
    assistant: "[{{ strategy.en }}] {{ reply }}"
"""
SAYS = [
    {"speaker": "supporter", "strategy": "GT", "text": "Good morning, how can I help you?"},
    {"speaker": "customer", "text": "My parcel is late."},
    {"speaker": "supporter", "strategy": "IV", "text": "May I have the order number?"},
    {"speaker": "customer", "text": "It is the one of Monday."},
    {"speaker": "supporter", "strategy": "AC", "text": "Thank you, goodbye."},
]


def dialogue(number: int, turns: int = 3) -> dict:
    """A dialogue with so many turns that only differs from others in its number."""
    says = [{**turn, "text": f"{turn['text']} ({number})"} for turn in SAYS[:turns]]
    return {"id": f"d{number}", "language": "en", "dialogue": says}


@pytest.fixture
def short_task(tmp_path: Path) -> str:
    """A task `short` in the working directory: 6 dialogues to train on, 1 to test."""
    folder = tmp_path / "tasks/short"
    (folder / "prompts/default/en").mkdir(parents=True)
    (folder / "prompts/default/en/joint.yaml").write_text(PROMPT, encoding="utf-8")
    (folder / "task.yaml").write_text(
        "name: short\ntitle: Short\ndescription: Short calls.\ndata: {test: test.jsonl, train: train.jsonl}\n"
        "scorers: [strategy]\n",
        encoding="utf-8",
    )
    rows = [json.dumps(dialogue(number)) for number in range(7)]
    (folder / "train.jsonl").write_text("\n".join(rows[:6]), encoding="utf-8")
    (folder / "test.jsonl").write_text(rows[6], encoding="utf-8")
    return "short"


@pytest.fixture(scope="session")
def smol_tokenizer(tiny_model: Path):
    """SmolLM2's tokenizer, whose end of turn is its end of sequence and its padding too."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert tokenizer.eos_token_id == tokenizer.pad_token_id
    return tokenizer


@pytest.fixture(scope="session")
def smol_chat(smol_tokenizer) -> Chat:
    """SmolLM2's chat in its real window."""
    return Chat(smol_tokenizer, 8192)


@pytest.fixture(scope="session")
def sample():
    """Four dialogues of the sample's train part, two a language, and the task."""
    task = find_task("csconv_sample")
    train = task.load(None).train
    chosen = [each for language in ("zh", "en") for each in [d for d in train if d.language == language][:2]]
    return task, chosen
