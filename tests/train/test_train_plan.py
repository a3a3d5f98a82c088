"""A training's card, data and held-out dialogues, resolved before anything is loaded; and its identity."""

import json

import msgspec
import pytest

from cscbench.train.options import Recipe, TrainOptions
from cscbench.train.plan import identity, prepare
from cscbench.values import Condition, Language, UserError


@pytest.fixture
def planned(tiny_card, short_task):
    def plan(**options):
        return prepare(TrainOptions(**{"base": tiny_card, "out": "out", "task": short_task, **options}))

    return plan


def ids(dialogues):
    return [dialogue.id for dialogue in dialogues]


class TestHoldout:
    @pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.1, 1), (0.34, 2), (0.5, 3), (0.99, 5)])
    def test_whole_dialogues_are_held_out_one_at_least_and_never_all(self, planned, share, count):
        plan = planned(recipe=Recipe(holdout=share))
        assert len(plan.held_out) == count
        assert sorted(ids(plan.train) + ids(plan.held_out)) == [f"d{n}" for n in range(6)]

    def test_the_seed_chooses_them_and_the_same_seed_the_same(self, planned):
        drawn = {seed: tuple(ids(planned(recipe=Recipe(seed=seed)).held_out)) for seed in range(12)}
        assert drawn == {seed: tuple(ids(planned(recipe=Recipe(seed=seed)).held_out)) for seed in range(12)}
        assert len(set(drawn.values())) > 2

    def test_one_dialogue_is_too_few(self, planned):
        with pytest.raises(UserError, match="1 dialogues to train on, but at least 2 are needed"):
            planned(limit=1)


class TestData:
    def test_a_file_takes_the_place_of_the_tasks_train_part(self, planned, short_task, tmp_path):
        rows = [json.loads(line) for line in (tmp_path / "tasks/short/train.jsonl").read_text().splitlines()]
        (tmp_path / "RoleCS.json").write_text(json.dumps([{**row, "id": f"r{n}"} for n, row in enumerate(rows[:3])]))
        plan = planned(data="RoleCS.json")
        assert sorted(ids(plan.train) + ids(plan.held_out)) == ["r0", "r1", "r2"]
        assert [file.name for file in plan.data.sources] == ["RoleCS.json"]

    def test_language_and_limit_choose_as_a_run_does(self, planned):
        plan = planned(task="csconv_sample", language=Language.ZH, limit=5)
        chosen = [*plan.train, *plan.held_out]
        assert len(chosen) == 5
        assert {dialogue.language for dialogue in chosen} == set(plan.prompts) == {Language.ZH}

    def test_a_task_without_training_dialogues_says_what_to_add(self, planned, tmp_path):
        path = tmp_path / "tasks/short/task.yaml"
        path.write_text(path.read_text().replace(", train: train.jsonl", ""))
        with pytest.raises(UserError, match="no training dialogues: add --data PATH"):
            planned()

    def test_a_missing_file_is_named(self, planned):
        with pytest.raises(UserError, match=r"nowhere\.json: cannot read the data file"):
            planned(data="nowhere.json")


class TestBase:
    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            ("tiny+lora", "--base tiny$"),
            ("tiny+lora+sampled", r"--base tiny\+sampled$"),
            ("gold", "needs a card with the hf adapter, but this one has gold"),
            ("tinny", "did you mean 'tiny'"),
        ],
    )
    def test_what_cannot_be_trained_is_refused_with_the_fix(self, planned, spec, reason):
        with pytest.raises(UserError, match=reason):
            planned(base=spec)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [("lora: /weights", "already adds LoRA weights"), ("options: {dtype: float16}", "float16 overflows")],
    )
    def test_a_card_that_cannot_be_trained_is_refused_with_the_fix(self, planned, tmp_path, line, reason):
        path = tmp_path / "model_cards/other.md"
        path.write_text(f"---\nname: other\nadapter: hf\nweights: /nowhere\n{line}\n---\n")
        with pytest.raises(UserError, match=reason):
            planned(base="other")


class TestIdentity:
    def test_all_that_shapes_the_weights_changes_it(self, planned):
        first = identity(planned())
        assert identity(planned()) == first
        changes = [
            *({"recipe": recipe} for recipe in _recipes()),
            {"limit": 5},
            {"task": "csconv_sample", "language": Language.EN},
            {"task": "csconv_sample", "language": Language.EN, "condition": Condition.TWO_STEP},
        ]
        identities = [identity(planned(**change)) for change in changes]
        assert first not in identities
        assert len({msgspec.json.encode(each) for each in identities}) == len(identities)

    def test_what_shapes_no_weight_does_not(self, planned):
        same = planned(out="elsewhere", save_every=1.0, recompute=True)
        assert identity(same) == identity(planned())

    def test_other_base_weights_change_it(self, planned, tiny_model, tmp_path):
        import shutil

        first = identity(planned())
        shutil.copytree(tiny_model, tmp_path / "copy")
        card = tmp_path / "model_cards/tiny.md"
        card.write_text(card.read_text().replace(str(tiny_model), str(tmp_path / "copy")))
        assert identity(planned()) == first  # a folder's name says nothing about its weights
        config = tmp_path / "copy/config.json"
        config.write_text(config.read_text() + "\n")
        assert identity(planned()) != first


def _recipes():
    """A recipe for each field, with a value other than its default."""
    values = {str: "x", int: 7, float: 0.3}
    for field in msgspec.structs.fields(Recipe):
        yield Recipe(**{field.name: ("k_proj",) if field.name == "targets" else values[type(field.default)]})
