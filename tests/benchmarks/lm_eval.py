"""cscbench's hf adapter against lm-evaluation-harness's HF backend: the same prompts, token limit and threads.

python tests/benchmarks/lm_eval.py                     # five rounds, interleaved: about an hour on two idle cores
python tests/benchmarks/lm_eval.py --identical         # are all token ids the same with and without reuse?

The times are those of whole processes, from start to results. Both run real SmolLM2 weights in float32 on the CPU,
greedily, on the dialogues of csconv_sample in gold context and the joint condition, so that no prompt depends on a
reply. lm-eval only predicts, while cscbench's time includes scoring (without BERTScore). The limit of 48 new tokens is
the sample's mean reference answer (43 tokens with its strategy), rounded up. Unique prefill tokens are the distinct
prefixes of all prompts; cscbench may compute fewer if the history contains tokens that it generated itself.

lm-eval has its own environment (--env), which is created from requirements/lm-eval.txt if it is missing. Its
`--batch_size auto` is not tried: on a CPU it starts with the logits of 64 full windows (103 GB for SmolLM2).
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path

import click
import msgspec
from workload import Batch, Ids, difference, prompt_ids, recorded, replies_in, requests, unique_tokens

from cscbench import __version__
from cscbench.content.extras import versions
from cscbench.models.chat import Chat
from cscbench.models.weights import fetch
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import Plan, prepare
from cscbench.runs.run import run
from cscbench.values import Frozen, Language

PINS = Path(__file__).parents[2] / "requirements" / "lm-eval.txt"
BATCH_SIZES = (1, 4, 8, 16)
# So many prompts, spread over all lengths, fill the largest of these batches once.
PROBED = max(BATCH_SIZES)
# If a smaller share of replies is the same, the two have not done the same work.
MIN_SAME = 0.9
PACKAGES = ("torch", "transformers", "tokenizers")

CARD = """---
name: bench
adapter: hf
weights: {weights}
languages: [en, zh]
sampling: {{max_tokens: {max_tokens}}}
options: {{dtype: float32, device: cpu}}
variants:
  anew:
    options: {{reuse: false}}
---
"""

# Run by lm-eval's Python: the token ids that its backend makes of each prompt, and its package versions.
PROBE = """
import importlib.metadata, json, sys
from lm_eval.models.huggingface import HFLM
folder, prompts, packages, out = sys.argv[1:]
model = HFLM(pretrained=folder, device="cpu", dtype="float32")
texts = [json.loads(line)["prompt"] for line in open(prompts, encoding="utf-8")]
ids = [model.tok_batch_encode([text])[0][0].tolist() for text in texts]
versions = {name: importlib.metadata.version(name) for name in ["lm_eval", *packages.split(",")]}
json.dump({"ids": ids, "versions": versions}, open(out, "w"))
"""


class Work(Frozen, frozen=True):
    """The input of both tools; `home` is lm-eval's environment, `folder` this benchmark's working directory."""

    home: Path
    folder: Path
    weights: Path
    plan: Plan
    names: tuple[str, ...]
    prompts: tuple[Ids, ...]
    texts: tuple[str, ...]
    ends: tuple[str, ...]
    max_tokens: int
    threads: int


def python_of(home: Path) -> Path:
    """Return the interpreter of lm-eval's environment; create the environment if it is missing."""
    python = home.resolve() / "bin" / "python"
    if not python.exists():
        click.echo(f"creating {home} from {PINS.name} ...", err=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", PINS], check=True)
    return python


def set_up(home: Path, folder: Path, options: RunOptions, weights: str, max_tokens: int, threads: int) -> Work:
    """Write the run's card to `folder`, and build its exact prompts."""
    from transformers import AutoTokenizer, GenerationConfig

    (folder / "model_cards").mkdir()
    (folder / "model_cards" / "bench.md").write_text(CARD.format(weights=weights, max_tokens=max_tokens))
    with chdir(folder):
        plan = prepare(options)
    where = fetch("bench", weights)
    ends = GenerationConfig.from_pretrained(where).eos_token_id
    chat = Chat(AutoTokenizer.from_pretrained(where), sys.maxsize, ends if isinstance(ends, list) else [ends])
    asked = requests(plan)
    prompts = prompt_ids(chat, asked)
    return Work(
        home,
        folder,
        where,
        plan,
        tuple(request.id for request in asked),
        tuple(prompts),
        tuple(chat.tokenizer.decode(ids) for ids in prompts),
        tuple(chat.tokenizer.decode([end]) for end in chat.ends),
        max_tokens,
        threads,
    )


def environment(work: Work) -> dict[str, str]:
    """The environment of both tools: the same number of threads, and no network access."""
    settings = {
        "OMP_NUM_THREADS": str(work.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(work.folder / "hf-home"),
    }
    return {**os.environ, **settings}


def seconds(command: Sequence[str | Path], work: Work) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=work.folder, env=environment(work), capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return taken


def write_task(work: Work, name: str, chosen: Sequence[int]) -> None:
    """Write an lm-eval task that sends the chosen prompts unchanged: no template, nothing before or after."""
    rows = [{"request": work.names[n], "prompt": work.texts[n]} for n in chosen]
    data = work.folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "",
        "generation_kwargs": {"until": list(work.ends), "max_gen_toks": work.max_tokens, "do_sample": False},
    }
    (work.folder / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")


def run_lm_eval(work: Work, name: str, batch_size: int, out: str) -> float:
    """Run `lm_eval run` with its samples below `out`; return its seconds."""
    model = f"pretrained={work.weights},dtype=float32"
    command = [python_of(work.home), "-m", "lm_eval", "run", "--model", "hf", "--model_args", model, "--device", "cpu"]
    command += ["--batch_size", str(batch_size), "--tasks", name, "--include_path", str(work.folder)]
    return seconds([*command, "--predict_only", "--log_samples", "--output_path", out], work)


def run_cscbench(work: Work, out: str) -> float:
    """Run `cscbench run` with its run folder below `out`; return its seconds."""
    options = work.plan.options
    command = [sys.executable, "-m", "cscbench", "run", "--model", options.model, "--task", options.task]
    command += ["--limit", str(options.limit), "--language", str(options.language), "--encoder", "none", "--out", out]
    return seconds(command, work)


def lm_eval_texts(work: Work, out: str) -> dict[str, str]:
    """Return lm-eval's replies by request."""
    (samples,) = (work.folder / out).rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    return {row["doc"]["request"]: row["resps"][0][0].strip() for row in rows}


def check_sides(work: Work) -> Mapping[str, str]:
    """Return the versions of lm-eval's packages; exit if they are not ours, or if it would read other prompt ids."""
    out = work.folder / "probe.json"
    prompts = work.folder / "turns.jsonl"
    seconds([python_of(work.home), "-c", PROBE, work.weights, prompts, ",".join(PACKAGES), out], work)
    probe = json.loads(out.read_text())
    lm_eval_versions = {name: probe["versions"][name] for name in PACKAGES}
    if lm_eval_versions != versions(PACKAGES):
        raise SystemExit(f"different packages: {versions(PACKAGES)} here, {lm_eval_versions} in {work.home}")
    wrong = sum(tuple(ids) != prompt for ids, prompt in zip(probe["ids"], work.prompts, strict=True))
    if wrong:
        raise SystemExit(f"{wrong} of {len(work.prompts)} prompts have different token ids in lm-eval: no comparison")
    return probe["versions"]


def best_batch_size(work: Work) -> int:
    """Return the fastest of `BATCH_SIZES` on prompts of all lengths."""
    by_length = sorted(range(len(work.prompts)), key=lambda n: len(work.prompts[n]))
    write_task(work, "probe", by_length[:: max(1, len(by_length) // PROBED)][:PROBED])
    run_lm_eval(work, "probe", PROBED, "probe-warm")
    taken = {size: run_lm_eval(work, "probe", size, f"probe-{size}") for size in BATCH_SIZES}
    print("lm-eval by batch size: " + ", ".join(f"{size}: {each:.1f} s" for size, each in taken.items()), flush=True)
    return min(taken, key=taken.__getitem__)


def compare(work: Work, rounds: int, batch_size: int) -> None:
    """Time both tools in turn, and print their seconds and token counts."""
    write_task(work, "turns", range(len(work.prompts)))
    package_versions = check_sides(work)
    print(f"cscbench {__version__} | " + " | ".join(f"{name} {version}" for name, version in package_versions.items()))
    print(
        f"{len(work.plan.dialogues)} dialogues ({work.plan.options.language}), {len(work.prompts)} turns, at most "
        f"{work.max_tokens} new tokens, {work.threads} thread(s); prompt ids of all turns are the same in both tools"
    )
    batch_size = batch_size or best_batch_size(work)
    print(f"\n{'seconds':<12}{'cscbench':>10}{f'lm-eval, batch {batch_size}':>20}{'ratio':>8}", flush=True)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):  # interleaved and in alternating order, so that a slow minute affects both equally
        for side in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            if side == "ours":
                ours.append(run_cscbench(work, f"ours-{number}"))
            else:
                theirs.append(run_lm_eval(work, "turns", batch_size, f"theirs-{number}"))
        print(row(f"round {number + 1}", ours[-1], theirs[-1]), flush=True)
    print(row("median", statistics.median(ours), statistics.median(theirs)))
    paired = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"ratio of paired rounds: median {statistics.median(paired):.2f}, {min(paired):.2f} to {max(paired):.2f}")
    report_work(work)


def row(name: str, ours: float, theirs: float) -> str:
    """A row of the table of seconds."""
    return f"{name:<12}{ours:>10.1f}{theirs:>20.1f}{theirs / ours:>8.2f}"


def report_work(work: Work) -> None:
    """Print the tokens that each tool computed in the first round; exit if their replies differ too much."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work.weights)
    replies, texts = replies_in(work.folder / "ours-0"), lm_eval_texts(work, "theirs-0")
    unique, whole = unique_tokens(work.prompts), sum(map(len, work.prompts))
    if sum(reply.tokens_in for reply in replies.values()) != whole:
        raise SystemExit("cscbench's replies have a different number of prompt tokens: these are not its prompts")
    computed = whole - sum(reply.tokens_reused for reply in replies.values())
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts.values()]
    decoded = sum(length + (length < work.max_tokens) for length in lengths)  # the end of turn is a token too
    same = sum(replies[name].text == text for name, text in texts.items())
    print(f"\n{'tokens':<28}{'cscbench':>10}{'lm-eval':>10}")
    print(f"{'prefill computed':<28}{computed:>10,}{whole:>10,}")
    print(f"{f'  of {unique:,} unique':<28}{computed / unique:>10.2f}{whole / unique:>10.2f}")
    print(f"{'decoded, in the replies':<28}{sum(r.tokens_out for r in replies.values()):>10,}{decoded:>10,}")
    print(f"\nthe same reply: {same} of {len(texts)} ({same / len(texts):.0%})")
    if same < MIN_SAME * len(texts):
        raise SystemExit("too few: the two tools did not do the same work")


def check_identical(work: Work) -> None:
    """Run the adapter with and without reuse, and exit with an error if any token id differs."""
    import torch

    torch.set_num_threads(work.threads)
    records: list[list[Batch]] = []
    for model in ("bench", "bench+anew"):
        out = work.folder / model
        options = msgspec.structs.replace(work.plan.options, model=model, out=str(out), encoder="none")
        with chdir(work.folder), recorded() as batches:
            run(prepare(options))
        replies = replies_in(out).values()
        computed = sum(reply.tokens_in - reply.tokens_reused for reply in replies)
        print(f"{model:<12}{len(batches):>5} batches,{len(replies):>5} replies,{computed:>8,} prefill tokens computed")
        records.append(batches)
    divergence = difference(*records)
    if divergence or not records[0]:
        raise SystemExit(f"not identical: {divergence or 'no batch was recorded'}")
    written = sum(len(ids) for batch in records[0] for ids in batch.written)
    print(f"identical: the same batches, and all {written:,} token ids the same with and without reuse")


@click.command()
@click.option("--env", "home", type=click.Path(path_type=Path), default=".venv-lm-eval", help="lm-eval's environment.")
@click.option("--weights", default="package:smollm2-135m", help="As in a model card.")
@click.option("--language", type=click.Choice([language.value for language in Language]), default=Language.EN.value)
@click.option("--dialogues", type=click.IntRange(min=1), default=12)
@click.option("--max-tokens", type=click.IntRange(min=2), default=48)
@click.option("--threads", type=click.IntRange(min=1), default=1, help="OMP_NUM_THREADS of both tools.")
@click.option("--rounds", type=click.IntRange(min=1), default=5)
@click.option("--batch-size", type=click.IntRange(min=0), default=0, help="lm-eval's; 0 tries 1, 4, 8 and 16 first.")
@click.option("--identical", is_flag=True, help="Only compare token ids with and without reuse (without lm-eval).")
def main(
    home: Path,
    weights: str,
    language: str,
    dialogues: int,
    max_tokens: int,
    threads: int,
    rounds: int,
    batch_size: int,
    identical: bool,
) -> None:
    """Time cscbench against lm-eval, or check that reuse changes no token."""
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions("bench", limit=dialogues, language=Language(language))
        work = set_up(home, Path(folder), options, weights, max_tokens, threads)
        if identical:
            check_identical(work)
        else:
            compare(work, rounds, batch_size)


if __name__ == "__main__":
    main()
