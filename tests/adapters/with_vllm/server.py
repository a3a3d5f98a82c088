"""vLLM's OpenAI-compatible server as a real process on a CPU.

As a script it serves until Ctrl-C: python server.py MODEL_FOLDER [--name NAME] [--lora NAME=FOLDER]... [--port 8000]
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

READY_S = 300


class Server(NamedTuple):
    """A server that answers: its base URL, and its process group."""

    url: str
    group: int


ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # otherwise it binds itself to one core, which may be in use
    "VLLM_NO_USAGE_STATS": "1",
}


def command(model: Path, name: str, loras: Mapping[str, Path], port: int) -> list[str]:
    """The server's command: float32, the model's own window, no sampling settings of the checkpoint."""
    start = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    settings = ["--model", str(model), "--served-model-name", name, "--dtype", "float32", "--generation-config", "vllm"]
    modules = [f"{lora}={folder}" for lora, folder in loras.items()]
    with_lora = ["--enable-lora", "--max-lora-rank", "8", "--lora-modules", *modules] if loras else []
    return [*start, *settings, "--enforce-eager", "--block-size", "32", *with_lora]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"vLLM's server ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"vLLM's server was not ready in {READY_S} s:\n{log.read_text()[-4000:]}")


def end(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt the server as Ctrl-C does; wait for its engine, and kill what does not end."""
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 60
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            process.poll()  # or it stays in its group as a zombie
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def vllm_server(model: Path, log: Path, name: str, loras: Mapping[str, Path], port: int = 0) -> Iterator[Server]:
    """A server for a model folder, ready; it ends with the `with`. Its output goes to `log`."""
    port = port or free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(model, name, loras, port),
            stdout=out,
            stderr=out,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        try:
            wait_until_ready(process, port, log)
            yield Server(f"http://127.0.0.1:{port}/v1", process.pid)
        finally:
            end(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--name", default="smollm2-135m")
    parser.add_argument("--lora", action="append", default=[])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log", type=Path, default=Path("vllm-server.log"))
    given = parser.parse_args()
    loras = {name: Path(folder) for name, _, folder in (option.partition("=") for option in given.lora)}
    with vllm_server(given.model, given.log, given.name, loras, given.port) as server:
        print(f"ready: {server.url} (log: {given.log}); Ctrl-C ends it", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
