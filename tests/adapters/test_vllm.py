"""The vllm adapter without vLLM: checks before it loads, and the error if it is not installed.

Tests that need vLLM are in with_vllm/.
"""

import re
from importlib.util import find_spec

import pytest

from cscbench.asking.parse import parse
from cscbench.content.cards import card_files, find_card, resolve_card
from cscbench.content.prompts import answer_message, strategy_choices
from cscbench.content.tasks import find_task
from cscbench.models.vllm import VLLM, options
from cscbench.models.vllm.guide import Guide, guides
from cscbench.values import Condition, Language, ModelCard, Step, UserError


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_command_says_how_to_install_it(cscbench):
    done = cscbench("run", "--model", "smollm2-135m+vllm", "--limit", "1", "--encoder", "none")
    assert done.returncode == 2
    assert 'running a model through vLLM needs vllm: pip install "cscbench[vllm]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 8}, "unknown field `batch_size`"),
        ({"tensor_parallel": 4}, "did you mean 'tensor_parallel_size'"),
        ({"dtype": "int8"}, "`options.dtype` 'int8' is not one of auto, float32, bfloat16, float16"),
        ({"tensor_parallel_size": 0}, "`options.tensor_parallel_size` must be at least 1"),
        ({"pipeline_parallel_size": -1}, "`options.pipeline_parallel_size` must be at least 1"),
        ({"concurrency": 0}, "`options.concurrency` must be at least 1"),
        ({"context_length": -1}, "`options.context_length` must be a number of tokens"),
        ({"gpu_memory_utilization": 90.0}, "`options.gpu_memory_utilization` must be a share of the memory"),
        ({"kv_cache_gib": float("nan")}, "`options.kv_cache_gib` must be a number of GiB"),
        ({"guided": "yes"}, "Expected `bool`, got `str`"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_name(given, message):
    with pytest.raises(UserError, match=re.escape(message)):
        VLLM.fingerprint(ModelCard("mine", "vllm", weights="package:smollm2-135m", options=given))


def test_every_shipped_vllm_variant_loads_with_lora_before_or_after_it():
    names = [name for name in card_files() if {"vllm", "lora"} <= set(find_card(name).card.variants)]
    assert {"qwen7b", "qwen72b", "llama8b", "llama70b", "smollm2-135m"} <= set(names)
    for name in names:
        before, after = resolve_card(f"{name}+vllm+lora", "/weights"), resolve_card(f"{name}+lora+vllm", "/weights")
        assert (before.adapter, before.lora, before.weights) == ("vllm", "/weights", resolve_card(name).weights)
        assert options(before) == options(after)
    for name in ("qwen72b", "llama70b"):
        assert options(resolve_card(f"{name}+vllm")).tensor_parallel_size == 4


@pytest.mark.parametrize("language", list(Language))
class TestGuides:
    @pytest.fixture
    def prompt(self, language):
        return lambda condition: find_task("csconv_sample").prompt("default", language, condition)

    def test_a_strategy_alone_is_one_of_the_names_that_are_read_as_it(self, prompt):
        two_step = prompt(Condition.TWO_STEP)
        allowed = guides(two_step)
        assert allowed == {Step.STRATEGY: Guide(choice=strategy_choices(two_step, 0))}
        parsed = [parse(name, Step.STRATEGY, two_step.strategies).strategy for name in allowed[Step.STRATEGY].choice]
        assert parsed == [strategy.code for strategy in two_step.strategies.strategies]

    def test_an_answer_with_both_begins_as_the_prompt_shows_it(self, prompt):
        joint = prompt(Condition.JOINT)
        allowed = re.compile(guides(joint)[Step.JOINT].regex)
        for strategy in joint.strategies.strategies:
            for reply in ("Hello (you).\n您好。", ""):
                answer = answer_message(joint, 0, strategy.code, "X").content.replace("X", reply)
                assert allowed.fullmatch(answer)
                assert not allowed.fullmatch(f" {answer}")
        for free in ("Hello.", "[Nonsense] Hello.", "", "["):
            assert not allowed.fullmatch(free)

    def test_a_reply_alone_is_free(self, prompt):
        assert guides(prompt(Condition.GOLD_STRATEGY)) == {}
