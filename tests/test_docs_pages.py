"""docs/cards.md and docs/tasks.md say what the code does: their tables, examples and messages are held to it."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from pages import commands, page, shown_files, table

from cscbench.content.cards import CardFile, Variant, resolve_card
from cscbench.content.tasks import DataFiles, TaskFile, find_task
from cscbench.models.hf import HfOptions, options
from cscbench.models.openai import OPENAI, OpenAiOptions
from cscbench.models.openai import options as server_options
from cscbench.models.vllm import VLLM, VllmOptions
from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.bertscore import BertScorer, EncoderOptions
from cscbench.values import CSC, Condition, Context, Language, ModelCard, Sampling, UserError

CARDS, TASKS = page("cards.md"), page("tasks.md")


@pytest.fixture
def shown(tmp_path):
    """The files that both pages show, in the working directory."""
    for name, text in {**shown_files(CARDS), **shown_files(TASKS)}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "heading", "struct"),
    [
        (CARDS, "Fields", CardFile),
        (CARDS, "Sampling", Sampling),
        (CARDS, "Options of hf", HfOptions),
        (CARDS, "Options of vllm", VllmOptions),
        (CARDS, "Options of openai", OpenAiOptions),
        (CARDS, "Options of bertscore", EncoderOptions),
        (TASKS, "Fields of task.yaml", TaskFile),
        (TASKS, "Fields of data", DataFiles),
    ],
)
def test_every_field_stands_in_its_table_with_its_default(text, heading, struct):
    documented = {row[0].removesuffix("` *"): row[1] for row in table(text, heading)}
    real = {field.name: field for field in msgspec.structs.fields(struct)}
    assert set(documented) == set(real)
    for name, field in real.items():
        if field.required:
            assert documented[name] == "required", name
        elif name == "sampling":  # its fields have a table of their own
            assert documented[name] == "{}"
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            assert yaml.safe_load(documented[name]) == json.loads(msgspec.json.encode(default)), name


def test_the_page_names_what_a_variant_may_set():
    sentence = re.search(r"A variant may set (.*?)\.\n", CARDS, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(Variant.__struct_fields__)


def test_the_example_card_loads_with_each_of_its_variants(shown):
    plain = resolve_card("my-qwen")
    assert (plain.weights, plain.lora, plain.sampling.max_tokens) == ("Qwen/Qwen2.5-1.5B-Instruct", "", 120)
    assert (options(plain).dtype, options(plain).batch_size) == ("bfloat16", 16)
    both = resolve_card("my-qwen+tuned+warm")
    assert (both.lora, both.license) == (str(shown / "model_cards/my-qwen-lora"), "other")
    assert (both.sampling.temperature, both.sampling.max_tokens) == (0.8, 120)  # merged key by key
    with pytest.raises(UserError, match="add `--lora PATH`"):
        resolve_card("my-qwen+lora")
    assert resolve_card("my-qwen+lora", "/weights").lora == "/weights"
    assert resolve_card("my-qwen", "/weights").name == "my-qwen+lora"


def test_the_server_s_example_card_loads_and_the_marked_options_are_the_local_ones(shown):
    card = resolve_card("our-server")
    assert (server_options(card).lora_model, server_options(card).key_env) == ("qwen-rolecs", "OUR_KEY")
    assert OPENAI.fingerprint(card) == {"model": "qwen", "weights": "Qwen/Qwen2.5-7B-Instruct"}
    assert marked("Options of openai") == set(OPENAI.machine_options) - {
        "model",
        "lora_model",
    }  # the fingerprint has those


def marked(heading):
    return {row[0].removesuffix("` *") for row in table(CARDS, heading) if row[0].endswith("` *")}


def test_the_marked_options_of_vllm_are_the_local_ones():
    assert marked("Options of vllm") == set(VLLM.machine_options)


def test_every_form_of_weights_is_taken_for_what_the_page_says(tmp_path, monkeypatch):
    """Weights that are not there: the error says as what they were looked for."""
    from cscbench.models.weights import identify

    monkeypatch.setenv("HOME", str(tmp_path))
    looked_for = {
        "Qwen/Qwen2.5-7B-Instruct": "not in the local Hugging Face cache",
        "/models/qwen": "looked for /models/qwen/config.json",
        "~/models/qwen": f"looked for {tmp_path}/models/qwen/config.json",
        "./qwen": f"looked for {tmp_path}/model_cards/qwen/config.json",
        "/models/qwen.gguf": "no GGUF file at /models/qwen.gguf",
    }
    forms = [form for row in table(CARDS, "Weights") for form in re.split(r"` or `", row[0])]
    assert set(forms) == {*looked_for, "package:smollm2-135m"}
    (tmp_path / "model_cards").mkdir()
    for form, message in looked_for.items():
        (tmp_path / "model_cards/one.md").write_text(f"---\nname: one\nadapter: hf\nweights: {form}\n---\n", "utf-8")
        with pytest.raises(UserError, match=re.escape(message)):
            identify("one", resolve_card("one").weights)
    assert identify("one", "package:smollm2-135m")


def test_the_packaged_weights_of_the_page_are_those_there_are():
    from cscbench.demo_weights.catalog import SHIPPED

    (row,) = [row for row in table(CARDS, "Weights") if row[0].startswith("package:")]
    assert set(re.findall(r"`([^`]+)`", f"`{row[1].partition(': ')[2]}`".replace("``", "`"))) == set(SHIPPED)


def test_every_command_of_the_pages_runs(shown, cscbench):
    for program, *rest in [*commands(CARDS), *commands(TASKS)]:
        assert program == "cscbench"
        done = cscbench(*rest)
        assert done.returncode == 0, (rest, done.stderr)


def test_conditions_and_contexts_are_the_ones_there_are():
    assert [row[0] for row in table(TASKS, "Conditions")] == list(Condition)
    assert [row[0] for row in table(TASKS, "Contexts")] == list(Context)


def test_the_example_task_runs_as_the_page_says(shown, cscbench):
    data = find_task("shop").load(None)
    assert [dialogue.id for dialogue in data.test] == ["late", "size"]
    assert data.faults == ()
    done = cscbench("run", "--model", "gold", "--task", "shop")
    assert done.returncode == 0, done.stderr
    results = json.loads((Path(done.stdout.splitlines()[-1]) / "results.json").read_text(encoding="utf-8"))
    assert {m["value"] for m in results["metrics"] if m["name"] in ("strategy_accuracy", "parse_rate")} == {100}
    # A condition without a prompt file is an error that names the file.
    done = cscbench("run", "--model", "gold", "--task", "shop", "--condition", "two-step")
    assert (done.returncode, "prompts/default/en/two-step.yaml" in done.stderr) == (2, True)


def test_the_faults_are_told_in_the_words_of_the_page(shown, cscbench):
    told = re.search(r"```text\n(.*?)```", TASKS, re.DOTALL)
    done = cscbench("run", "--model", "gold", "--task", "shop", "--data", "broken.jsonl", "--dry-run")
    assert done.returncode == 0
    assert done.stderr == told[1]


@pytest.mark.parametrize("spelling", re.findall(r"`([^`]+)`", re.search(r"A label may be written (.*)", TASKS)[1]))
def test_every_spelling_of_a_label_on_the_page_is_read(spelling):
    from cscbench.values import normalise

    assert normalise(spelling) == ("GT",)


def test_every_speaker_on_the_page_is_read(tmp_path):
    from cscbench.content.csconv import load_csconv

    (row,) = re.findall(r"^\| `speaker` \| (.*) \|$", TASKS, re.MULTILINE)
    ours, theirs = (re.findall(r"`([^`]+)`", half) for half in row.split(";"))
    assert len(ours) == len(theirs) == 3
    for supporter, customer in zip(ours, theirs, strict=True):
        turns = [{"speaker": supporter, "strategy": "GT", "text": "Hi."}, {"speaker": customer, "text": "Hello."}]
        (tmp_path / "one.json").write_text(json.dumps([{"dialogue": turns}]), encoding="utf-8")
        (dialogue,) = load_csconv(tmp_path / "one.json").dialogues
        assert [turn.speaker.value for turn in dialogue.turns] == ["supporter", "customer"]


@pytest.mark.parametrize("place", ["system", "user", "assistant"])
def test_a_template_knows_the_variables_of_the_page_and_never_the_answer(shown, place):
    """In `joint`, `user` and `system` must not know the reference strategy: the model is asked for it."""
    path = shown / "tasks/shop/prompts/default/en/joint.yaml"
    for name, _, where in table(TASKS, "Templates"):
        prompt = yaml.safe_load(shown_files(TASKS)["tasks/shop/prompts/default/en/joint.yaml"])
        target = prompt if place == "system" else prompt["steps"][0]
        target[place] = "{{ " + name + " }}"
        path.write_text(yaml.safe_dump(prompt), encoding="utf-8")
        if where == "everywhere" or where.startswith(f"{place}`") or where == place:
            find_task("shop").prompt("default", Language.EN, Condition.JOINT)
        elif name == "strategy":
            with pytest.raises(UserError, match="'strategy' is undefined"):
                find_task("shop").prompt("default", Language.EN, Condition.JOINT)


def test_signature_parts_are_those_of_a_real_run(shown, cscbench, tmp_path):
    done = cscbench("run", "--model", "gold", "--task", "shop")
    assert done.returncode == 0, done.stderr
    results = json.loads((Path(done.stdout.splitlines()[-1]) / "results.json").read_text(encoding="utf-8"))
    signatures = [metric["signature"] for metric in results["metrics"]]
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text('{"num_hidden_layers": 2}', encoding="utf-8")
    (encoder / "never-loaded.safetensors").touch()
    context = ScoringContext((Language.EN,), Condition.JOINT, CSC, ModelCard("e", "bertscore", weights=str(encoder)))
    signatures += [spec.signature for spec in BertScorer(context).metrics]
    real = {part.partition(":")[0] for signature in signatures for part in signature.split("|")}
    documented = {name for row in table(TASKS, "Signatures") for name in re.split(r"[`, ]+", row[0]) if name}
    assert documented == real
