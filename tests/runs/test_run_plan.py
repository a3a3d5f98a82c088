"""Resolving a run: which dialogues it plays, what it refuses before anything is loaded, and what run.json says."""

import json
from pathlib import Path

import msgspec
import pytest

from cscbench.runs.options import RunOptions
from cscbench.runs.plan import check_scoring, identity, prepare, run_record
from cscbench.values import Condition, Language, UserError

SAMPLE = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "tasks/csconv_sample/data/test.jsonl").read_text("utf-8").splitlines()
]


def plan(**options):
    return prepare(RunOptions(**{"model": "majority", "encoder": "none", **options}))


@pytest.mark.parametrize("seed", [2**63, -(2**63), 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(UserError, match="at most 64 bits"):
        plan(seed=seed)


@pytest.mark.parametrize("seed", [0, 126, -1, 2**63 - 1, 1 - 2**63])
def test_a_seed_reaches_the_sampling_and_run_json(seed):
    made = plan(seed=seed)
    assert made.sampling.seed == run_record(made).protocol.seed == seed


@pytest.mark.parametrize(
    ("options", "count", "languages"),
    [
        ({}, len(SAMPLE), ["zh", "en"]),
        ({"limit": 1}, 1, None),
        ({"limit": 10**6}, len(SAMPLE), ["zh", "en"]),
        ({"language": Language.EN}, sum(row["language"] == "en" for row in SAMPLE), ["en"]),
        ({"language": Language.ZH, "limit": 2}, 2, ["zh"]),
    ],
)
def test_language_and_limit_choose_the_dialogues(options, count, languages):
    made = plan(**options)
    assert len(made.dialogues) == count
    assert list(made.prompts) == (languages or [made.dialogues[0].language])
    assert list(run_record(made).dialogues) == [dialogue.id for dialogue in made.dialogues]
    expected = [row["id"] for row in SAMPLE if options.get("language") in (None, row["language"])]
    assert [dialogue.id for dialogue in made.dialogues] == expected[:count]


def test_no_dialogue_of_a_language_is_told(tmp_path):
    english = [row for row in SAMPLE if row["language"] == "en"][:2]
    file = tmp_path / "en.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in english), encoding="utf-8")
    with pytest.raises(UserError, match="none of its 2 dialogues is in language zh"):
        plan(data=str(file), language=Language.ZH)


def test_only_a_model_with_likelihoods_can_rank():
    Path("model_cards").mkdir()
    Path("model_cards/api.md").write_text(
        "---\nname: api\nadapter: openai\noptions: {model: m, base_url: 'http://127.0.0.1:9'}\n---\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match="the openai adapter cannot rank"):
        plan(model="api", condition=Condition.RANKED)
    assert plan(model="api", condition=Condition.TWO_STEP).prompts
    assert plan(condition=Condition.RANKED).prompts


def test_defaults_take_everything_and_trust_nothing():
    options = RunOptions(model="x")
    assert (options.limit, options.seed, options.trust_remote_code, options.max_cost) == (0, 0, False, None)


@pytest.mark.parametrize(
    ("clusters", "count"), [(["", "", ""], 0), (["a", "a", "b"], 2), (["a", "", ""], 3), (["a", "a", ""], 2)]
)
def test_clusters_are_counted_where_the_data_name_any(tmp_path, clusters, count):
    file = tmp_path / "data.jsonl"
    rows = [{**row, "cluster": name} if name else row for row, name in zip(SAMPLE, clusters, strict=False)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run_record(plan(data=str(file))).data.clusters == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "nowhere"}, "nowhere"),
        ({"encoder": "majority"}, "not an encoder"),
        ({"scorers": ("blue",)}, "blue"),
    ],
)
def test_an_unknown_scorer_or_encoder_is_told_before_anything_is_played(options, message):
    with pytest.raises(UserError, match=message):
        check_scoring(plan(**options))


@pytest.mark.parametrize("encoder", ["", "none", "e5-small"])
def test_a_known_encoder_passes(encoder):
    check_scoring(plan(encoder=encoder))


def test_the_tasks_own_encoder_is_checked_too():
    made = plan(encoder="")
    check_scoring(made)
    with pytest.raises(UserError, match="nowhere"):
        check_scoring(msgspec.structs.replace(made, task=msgspec.structs.replace(made.task, encoder="nowhere")))


def test_names_hashes_and_labels():
    made = plan(limit=1)
    record = run_record(made)
    assert record.name == f"csconv_sample--gold--majority--{record.hash}"
    assert (record.model.label, record.identity) == ("majority", identity(made))
    assert run_record(plan(limit=1)).hash == record.hash != run_record(plan(limit=2)).hash


def test_a_run_with_lora_weights_is_named_by_their_hash():
    made = plan(limit=1)
    digest = "0123456789abcdef"
    backend = msgspec.structs.replace(made.backend, fingerprint=lambda card: {"lora": digest})
    record = run_record(msgspec.structs.replace(made, backend=backend))
    assert record.model.label == "majority@01234567"
    assert record.name == f"csconv_sample--gold--majority@01234567--{record.hash}"
