"""Turns per second of the hf adapter with and without reuse, on a 7B-sized model with random weights.

python tests/benchmarks/reuse.py                  # one row for docs/benchmarks.md's table; needs a CUDA device
python tests/benchmarks/reuse.py --shape small    # a tiny model on any machine, only to show that the command works

The model is built on the device from a configuration (Qwen2.5-7B's sizes), in bfloat16 on a GPU and float32 on a CPU;
tokenizer and template are SmolLM2's. Speed does not depend on the values of the weights. The dialogues of csconv_sample
are played in gold context, all in flight, in rounds of one pass with reuse and one without.
"""

import asyncio
import resource
import statistics
import time
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from unittest import mock

import click
import msgspec
from workload import plays

from cscbench.asking.plays import Play
from cscbench.demo_weights import locate
from cscbench.models.backend import LoadContext
from cscbench.models.chat import Chat
from cscbench.models.hf import HF, load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import Plan, prepare
from cscbench.values import Frozen, ModelCard, Reply, Sampling

HEAD = "| date | device | model | turns/s with reuse | without | ratio | peak memory |"


class Shape(StrEnum):
    """The sizes of the random model."""

    LARGE = "7b"
    SMALL = "small"


SIZES = {
    Shape.LARGE: {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    Shape.SMALL: {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 49152,
    },
}


class Played(Frozen, frozen=True):
    """One pass over the dialogues: its wall time without loading, and its replies, in the dialogues' order."""

    batch_size: str
    seconds: float
    replies: tuple[Reply, ...]

    @property
    def computed(self) -> int:
        """Prefill tokens that were computed rather than found in a cache."""
        return sum(reply.tokens_in - reply.tokens_reused for reply in self.replies)


def device() -> str:
    """`cuda`, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The device as the table names it."""
    import torch

    return torch.cuda.get_device_name() if device() == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"


def build(shape: Shape) -> tuple[Any, Chat]:
    """The random model on its device, and SmolLM2's tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

    tokenizer = AutoTokenizer.from_pretrained(locate("smollm2-135m"), padding_side="left")
    config = Qwen2Config(max_position_embeddings=32768, tie_word_embeddings=False, **SIZES[shape])
    dtype = torch.bfloat16 if device() == "cuda" else torch.float32
    torch.manual_seed(0)
    with torch.device(device()):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    return model, Chat(tokenizer, config.max_position_embeddings)


def play_once(plan: Plan, made: tuple[Any, Chat], reuse: bool) -> Played:
    """Play all dialogues through the adapter as a run loads it, except that the model is `made`."""
    import torch

    card = ModelCard("random", "hf", sampling=plan.sampling, options={"reuse": reuse})
    with mock.patch.object(load, "open_base", return_value=made):
        torch.cuda.empty_cache()  # so that the batch size is chosen from the same free memory; no effect without a GPU
        loaded = HF.load(LoadContext(card, plan.prompts, plan.dialogues))
    adapter = loaded.adapter

    async def answered(playing: Play) -> list[Reply]:
        replies: list[Reply] = []
        with suppress(StopIteration):
            request = next(playing)
            while True:
                replies.append(await adapter.generate(request))
                request = playing.send(replies[-1])
        return replies

    async def all_in_flight() -> list[list[Reply]]:
        return await asyncio.gather(*map(answered, plays(plan, plan.sampling)))

    started = time.perf_counter()
    replies = [reply for dialogue in asyncio.run(all_in_flight()) for reply in dialogue]
    taken = time.perf_counter() - started
    adapter.close()
    if errors := [reply.error for reply in replies if reply.error]:
        raise SystemExit(f"{len(errors)} replies failed, the first: {errors[0]}")
    return Played(loaded.engine_facts["batch_size"], taken, tuple(replies))


def peak_gb() -> float:
    """Peak memory in 10^9 bytes: the GPU's, or else the whole process's."""
    import torch

    if device() == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(shape: Shape, plan: Plan, rounds: int) -> str:
    """Return the table's row, and print further details."""
    made = build(shape)
    for reuse in (True, False):  # warm-up: the first pass selects kernels and allocates memory
        play_once(plan, made, reuse)
    passes = [(play_once(plan, made, True), play_once(plan, made, False)) for _ in range(rounds)]
    sizes = {played.batch_size for pair in passes for played in pair}
    if len(sizes) > 1:
        raise SystemExit(f"the passes had batches of {' and '.join(sorted(sizes))} rows: give the device free memory")
    reused, plain = passes[0]
    same = sum(left.text == right.text for left, right in zip(reused.replies, plain.replies, strict=True))
    print(f"{len(reused.replies)} turns, batches of up to {reused.batch_size}")
    print(f"prefill tokens computed: {reused.computed:,} with reuse, {plain.computed:,} without")
    print(f"the same reply: {same} of {len(plain.replies)}")
    fast = statistics.median(len(reused.replies) / reused.seconds for reused, _ in passes)
    slow = statistics.median(len(plain.replies) / plain.seconds for _, plain in passes)
    ratio = statistics.median(plain.seconds / reused.seconds for reused, plain in passes)
    return table_row(device_name(), shape, f"{fast:.2f}", f"{slow:.2f}", f"{ratio:.2f}", f"{peak_gb():.1f} GB")


def table_row(*cells: str) -> str:
    """A row of docs/benchmarks.md's table, with today's date."""
    return f"| {datetime.now(UTC):%Y-%m-%d} | " + " | ".join(cells) + " |"


@click.command()
@click.option(
    "--shape", type=click.Choice([shape.value for shape in Shape]), default=Shape.LARGE.value, show_default=True
)
@click.option("--dialogues", type=click.IntRange(min=1), default=40, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=2), default=48, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
def main(shape: str, dialogues: int, max_tokens: int, rounds: int) -> None:
    """Print one row of docs/benchmarks.md's table: medians over the rounds."""
    if shape == Shape.LARGE and device() == "cpu":
        row = table_row("none at hand", shape, "not run: no GPU", "-", "-", "-")
    else:
        plan = prepare(RunOptions("gold", limit=dialogues))  # for its dialogues and prompts: the model is ours
        row = measure(Shape(shape), msgspec.structs.replace(plan, sampling=Sampling(max_tokens=max_tokens)), rounds)
    print(HEAD, "|" + "---|" * (HEAD.count("|") - 1), row, sep="\n")


if __name__ == "__main__":
    main()
