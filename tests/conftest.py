"""What every test shares: isolated user state, one cache of converted weights, small real models, the real command."""

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from command import Completed, run_here, run_process
from finished import FinishedRuns
from hypothesis import settings

# Before anything imports torch: two OpenMP threads fight over two busy cores, and nothing may ask the hub.
os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", NO_COLOR="1", PYTHONUTF8="1")


# A shell's background job ignores Ctrl-C, and so would the commands that the tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine takes its time: an example that is slow is not one that fails.
settings.register_profile("cscbench", deadline=None)
settings.load_profile("cscbench")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` runs the tests that take minutes too, `--pages` those that need a browser."""
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--pages", action="store_true", help="run the tests that drive Chromium too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is not run is said in the summary, with how to run it."""
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: make test-slow"))
        if item.get_closest_marker("vllm") and find_spec("vllm") is None:
            item.add_marker(pytest.mark.skip(reason="needs vLLM, in an environment of its own: make test-vllm"))
        if item.get_closest_marker("pages") and (reason := _no_browser(config)):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the packages that the tests have imported: they are never garbage."""
    gc.collect()
    gc.freeze()


def _no_browser(config: pytest.Config) -> str:
    """Why no browser can be driven, or nothing."""
    if not config.getoption("--pages"):
        return "drives Chromium: make test-pages"
    if find_spec("playwright") is None:
        return "needs playwright, of the extra test: make test-pages brings it"
    if not (os.environ.get("CSCBENCH_CHROMIUM") or shutil.which("chromium")):
        return "no Chromium here: apt-get install chromium, or CSCBENCH_CHROMIUM=PATH; then make test-pages"
    return ""


Run = Callable[..., Completed]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh cache for each test process, except for the converted weights, which survive: 1.1 GB, 60 s to make.

    They are kept in CSCBENCH_TEST_CACHE, by default `.cache/test-weights` of the checkout. `locate` locks, seals and
    checks them, so that test processes can share them.
    """
    kept = Path(os.environ.get("CSCBENCH_TEST_CACHE") or Path(__file__).parents[1] / ".cache" / "test-weights")
    (kept / "weights").mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "weights").symlink_to(kept.absolute() / "weights", target_is_directory=True)
    yield cache
    shutil.rmtree(cache)


# What packages set when they are first imported.
_OF_IMPORTS = ("PYTEST_CURRENT_TEST", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR")


def _unchanged() -> Iterator[None]:
    """Fail whoever leaves another environment or working directory to later tests."""
    before, folder = dict(os.environ), Path.cwd()
    yield
    if "vllm" in sys.modules:
        return  # vLLM sets variables for itself and its workers whenever it starts; its tests run alone
    after = dict(os.environ)
    names = {*before, *after} - {*_OF_IMPORTS}
    changed = sorted(name for name in names if before.get(name) != after.get(name))
    if Path.cwd() != folder:
        changed.append(f"working directory {Path.cwd()}")
        os.chdir(folder)
    for name in changed:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]
    assert not changed, f"left changed for later tests: {changed}: use monkeypatch"


@pytest.fixture(autouse=True, scope="session")
def _session_leaves_no_trace() -> Iterator[None]:
    """No fixture of a module or session does; function fixtures are seen by `_test_leaves_no_trace`."""
    yield from _unchanged()


@pytest.fixture(autouse=True)
def _test_leaves_no_trace() -> Iterator[None]:
    yield from _unchanged()


@pytest.fixture(autouse=True)
def _isolated(_test_leaves_no_trace: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """No test sees the person's cards, tasks, caches or keys, nor writes outside its own folder."""
    monkeypatch.setenv("CSCBENCH_CACHE", str(shared_cache))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def finished_runs(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRuns]:
    """Folders of finished runs, each made once: to be read, or copied by a test that writes."""
    runs = FinishedRuns(tmp_path_factory.mktemp("finished"))
    yield runs
    runs.check()


@pytest.fixture(scope="session")
def smollm2(shared_cache: Path) -> Path:
    """The real SmolLM2-135M-Instruct, converted."""
    from cscbench.demo_weights import locate

    return locate("smollm2-135m", shared_cache)


@pytest.fixture(scope="session")
def tiny_model(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of about 3 M parameters with SmolLM2's tokenizer and chat template: loads in a moment."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_card(tiny_model: Path, tmp_path: Path) -> str:
    """A card `tiny` for `tiny_model` in the working directory's model_cards/, 8 new tokens, batches of 3."""
    folder = tmp_path / "model_cards"
    folder.mkdir(exist_ok=True)
    (folder / "tiny.md").write_text(
        f"---\nname: tiny\nadapter: hf\nweights: {tiny_model}\nlanguages: [en, zh]\n"
        "sampling: {max_tokens: 8}\noptions: {dtype: float32, device: cpu, batch_size: 3}\n"
        "variants:\n  lora:\n    lora: (--lora)\n  sampled:\n    sampling: {temperature: 0.9, top_p: 0.95}\n---\n",
        encoding="utf-8",
    )
    return "tiny"


@pytest.fixture(scope="session")
def cscbench() -> Run:
    """The command inside this process: what its users see, in a fifth of a process's time."""
    return run_here


@pytest.fixture(scope="session")
def cscbench_process() -> Run:
    """The command as a process: for imports, signals, limits, encodings and what is read when a process starts."""
    return run_process
