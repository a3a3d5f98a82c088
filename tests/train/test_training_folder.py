"""The folder of a training: which checkpoint is used, and that weights are always complete."""

import json
import shutil

import pytest
from kills import each_kill

from cscbench.train import training_folder as folder
from cscbench.values import UserError

IDENTITY = {"recipe": {"learning_rate": 0.1}, "train": "a" * 64}


@pytest.fixture
def checkpoint(tmp_path):
    """Makes a checkpoint as Trainer leaves it, sealed or not."""

    def make(step, sealed=True):
        path = tmp_path / folder.CHECKPOINTS / f"checkpoint-{step}"
        path.mkdir(parents=True)
        (path / "adapter_config.json").write_text('{"r": 8, "target_modules": ["v_proj", "q_proj"]}')
        (path / "adapter_model.safetensors").write_bytes(b"weights %d" % step)
        (path / "optimizer.pt").write_bytes(b"moments")
        if sealed:
            folder.seal(path)
        return path

    return make


class TestLatest:
    def test_the_last_whole_checkpoint_counts(self, checkpoint, tmp_path):
        assert folder.latest_checkpoint(tmp_path) is None
        made = [checkpoint(step) for step in (2, 10, 9)]
        assert folder.latest_checkpoint(tmp_path) == made[1]

    @pytest.mark.parametrize(
        "tear",
        [
            pytest.param(lambda path: (path / "complete.json").unlink(), id="not sealed"),
            pytest.param(lambda path: (path / "complete.json").write_text('{"optim'), id="torn seal"),
            pytest.param(lambda path: (path / "optimizer.pt").write_bytes(b"mom"), id="cut file"),
            pytest.param(lambda path: (path / "optimizer.pt").unlink(), id="missing file"),
            pytest.param(lambda path: [file.unlink() for file in path.iterdir()], id="empty folder"),
        ],
    )
    def test_an_incomplete_checkpoint_is_removed_and_reported(self, checkpoint, tmp_path, caplog, tear):
        whole, torn = checkpoint(4), checkpoint(8)
        tear(torn)
        assert folder.latest_checkpoint(tmp_path) == whole
        assert f"{torn} is incomplete and is removed" in caplog.text
        assert not torn.exists()

    def test_a_checkpoint_killed_while_it_was_sealed_is_used_or_removed(self, checkpoint, tmp_path):
        whole, path = checkpoint(4), tmp_path / folder.CHECKPOINTS / "checkpoint-8"

        def before() -> None:
            shutil.rmtree(path, ignore_errors=True)
            checkpoint(8, sealed=False)

        counted = []
        for _ in each_kill(path, before, lambda: folder.seal(path)):
            sealed = (path / "complete.json").exists()
            counted.append(folder.latest_checkpoint(tmp_path))
            assert counted[-1] == (path if sealed else whole)
            assert path.exists() == sealed
        assert {*counted} == {path, whole}


class TestStart:
    def test_the_same_training_resumes_from_its_start(self, tmp_path):
        first = folder.record_start(tmp_path, IDENTITY, {"device": "cpu"})
        assert folder.record_start(tmp_path, IDENTITY, {"device": "cpu"}) == first

    def test_another_is_refused_with_what_differs(self, tmp_path):
        folder.record_start(tmp_path, IDENTITY, {"device": "cpu"})
        changed = {**IDENTITY, "recipe": {"learning_rate": 0.2}}
        with pytest.raises(
            UserError, match=r"other settings \(recipe\.learning_rate was 0\.1, is 0\.2\): choose another"
        ):
            folder.read_training(tmp_path, changed)
        with pytest.raises(UserError, match=r"started differently \(device was cpu, is cuda\)"):
            folder.record_start(tmp_path, IDENTITY, {"device": "cuda"})


class TestPublished:
    def test_weights_are_the_checkpoints_and_their_config_names_no_path(self, checkpoint, tmp_path):
        folder.publish_weights(tmp_path, checkpoint(3), "owner/model")
        assert (tmp_path / "adapter_model.safetensors").read_bytes() == b"weights 3"
        config = json.loads((tmp_path / "adapter_config.json").read_text())
        assert config == {"base_model_name_or_path": "owner/model", "r": 8, "target_modules": ["q_proj", "v_proj"]}

    def test_killed_between_weights_and_record_it_is_not_finished_and_goes_on(self, checkpoint, tmp_path):
        folder.record_start(tmp_path, IDENTITY, {})
        folder.publish_weights(tmp_path, checkpoint(3), "owner/model")
        assert folder.read_training(tmp_path, IDENTITY) is None
