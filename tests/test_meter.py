"""What a process measures of itself: time with requests in flight, memory, energy; and what it leaves when killed."""

import asyncio
import os
import shutil
import subprocess
import sys
import time

import pytest

from cscbench.asking import meter, store
from cscbench.asking.cost import Session
from cscbench.asking.meter import Meter, Metered, joules, peak_device_memory, peak_memory
from cscbench.values import ChatRole, Message, Reply, Request, Sampling, Step

ASKED = Request("d/0/joint", "d", 0, Step.JOINT, (Message(ChatRole.USER, "hi"),), Sampling())


def lines(path) -> list[Session]:
    return list(store.read_lines(path, Session).values)


class Slow:
    def __init__(self, seconds: float, fails: bool = False) -> None:
        self.seconds, self.fails, self.closed = seconds, fails, False

    async def generate(self, request):
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise RuntimeError("no answer")
        return Reply(request.id)

    def close(self):
        self.closed = True


def test_only_time_with_a_request_in_flight_counts_and_overlaps_count_once(tmp_path):
    slow = Slow(0.2)
    metered = Metered(slow, Meter(tmp_path / "sessions.jsonl", ("cpu",)))

    async def later(seconds):
        await asyncio.sleep(seconds)
        return await metered.generate(ASKED)

    async def main():
        await asyncio.gather(later(0), later(0.1), later(0.1))
        await asyncio.sleep(0.3)  # between two turns of a slow customer, say
        return await metered.generate(ASKED)

    started = time.monotonic()
    assert asyncio.run(main()) == Reply("d/0/joint")
    whole = time.monotonic() - started
    metered.close()
    first, last = lines(tmp_path / "sessions.jsonl")
    assert (first.started, first.wall_seconds, first.ended) == (last.started, 0, False)
    assert last.ended
    assert slow.closed
    # From the first's beginning to the last's end, 0.3 s, and 0.2 s more; the pause is not among them.
    assert 0.5 <= last.wall_seconds <= whole - 0.3


def test_a_failed_request_was_in_flight_too(tmp_path):
    metered = Metered(Slow(0.1, fails=True), Meter(tmp_path / "sessions.jsonl", ()))
    with pytest.raises(RuntimeError):
        asyncio.run(metered.generate(ASKED))
    metered.close()
    assert lines(tmp_path / "sessions.jsonl")[-1].wall_seconds >= 0.1


def test_a_line_is_written_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "EVERY_S", 0.15)
    metered = Metered(Slow(0.1), Meter(tmp_path / "sessions.jsonl", ()))

    async def main():
        for _ in range(6):
            await metered.generate(ASKED)

    asyncio.run(main())
    walls = [line.wall_seconds for line in lines(tmp_path / "sessions.jsonl")]  # not closed: as if killed
    assert 3 <= len(walls) <= 5
    assert walls == sorted(walls)
    assert not any(line.ended for line in lines(tmp_path / "sessions.jsonl"))
    metered.close()


def test_a_torn_last_line_loses_only_itself(tmp_path):
    path = tmp_path / "sessions.jsonl"
    Meter(path, ("cpu",)).close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    Meter(path, ("cpu",)).close()
    assert path.read_bytes().startswith(whole)
    read = store.read_lines(path, Session)
    assert (len(read.values), read.damaged) == (4, 0)
    assert len({line.started for line in read.values}) == 2


GROWN = """
import subprocess, sys
from cscbench.asking.meter import peak_memory
before = peak_memory()
block = b"x" * 300_000_000
del block
grown = peak_memory()
child = subprocess.Popen([sys.executable, "-c", "b = b'x' * 200_000_000; print('big', flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(before, grown, peak_memory())
child.communicate(b"\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_peak_memory_is_of_this_process_and_of_its_living_children():
    bulk = b"x" * 400_000_000  # what this process once held is no part of a child's peak
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True, check=True)
    del bulk
    before, grown, with_child = map(int, done.stdout.split())
    assert before < 100e6
    assert 300e6 <= grown - before + 5e6 < 350e6
    assert 200e6 <= with_child - grown < 300e6
    assert peak_memory() > 400e6


def test_torch_is_never_imported_for_a_measure(cscbench, tmp_path):
    script = (
        "import sys; from pathlib import Path; from cscbench.asking.meter import Meter\n"
        f"Meter(Path({str(tmp_path / 's.jsonl')!r}), ('cuda:0',)).close()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    import torch

    if not torch.cuda.is_initialized():
        assert peak_device_memory() is None


# --- energy: NVML through its real Python binding


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ((), "does not report which devices"),
        (("cpu",), "no energy counter for cpu"),
        (("cuda:0", "mps"), "no energy counter for mps"),
    ],
)
def test_where_energy_is_not_counted_the_reason_is_said(devices, reason, tmp_path):
    assert reason in joules(devices)
    Meter(tmp_path / "sessions.jsonl", devices).close()
    for line in lines(tmp_path / "sessions.jsonl"):
        assert line.energy_joules is None
        assert reason in line.energy_note


# A driver of three boards. Each has used 1000, 2000 or 4000 J, and 5 J more at each reading.
DRIVER = """
#include <string.h>
static unsigned long long used[] = {1000000, 2000000, 4000000};
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "Not Found"; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { if (i > 2) return 6; *h = &used[i]; return 0; }
int nvmlDeviceGetHandleByUUID(const char *u, void **h) { if (strcmp(u, "GPU-c")) return 6; *h = &used[2]; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *h, unsigned long long *mj) {
  *mj = *(unsigned long long *)h; *(unsigned long long *)h += 5000; return 0;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with a libnvidia-ml.so.1 of our own, for the loader."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux, to stand in for NVIDIA's driver")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(DRIVER)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "nvml.c"], check=True)
    return folder


def measured(driver, devices: tuple[str, ...], visible: str | None, path) -> Session:
    """The last line of a session on those devices, in a process that has this driver."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(driver)}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    script = f"from pathlib import Path; from cscbench.asking.meter import Meter, joules; print(joules({devices!r}))\n"
    script += f"Meter(Path({str(path)!r}), {devices!r}).close()"
    done = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip(), lines(path)[-1]


@pytest.mark.parametrize(
    ("devices", "visible", "used"),
    [
        (("cuda",), None, "1000.0"),
        (("cuda:1",), None, "2000.0"),
        (("cuda:0", "cuda:1"), None, "3000.0"),
        (("cuda:0",), "2", "4000.0"),  # CUDA's first is the driver's third
        (("cuda:0", "cuda:1"), "2, 0", "5000.0"),
        (("cuda:1",), "0,GPU-c", "4000.0"),
    ],
)
def test_joules_are_of_the_boards_that_cuda_shows(driver, devices, visible, used, tmp_path):
    said, last = measured(driver, devices, visible, tmp_path / "sessions.jsonl")
    assert said == used
    # From the first reading of the session to the last: two readings in between.
    assert last.energy_joules == 10.0 * len(devices)
    assert "whole boards" in last.energy_note


@pytest.mark.parametrize(("device", "visible"), [("cuda:7", None), ("cuda:0", "GPU-unknown")])
def test_a_board_that_the_driver_does_not_know_has_no_energy(driver, device, visible, tmp_path):
    said, last = measured(driver, (device,), visible, tmp_path / "sessions.jsonl")
    assert said.startswith("cannot read NVML: ")
    assert last.energy_joules is None
    assert last.energy_note == said


def test_without_a_driver_energy_is_not_known(driver, tmp_path):
    (empty := tmp_path / "empty").mkdir()
    (empty / "libnvidia-ml.so.1").write_bytes(b"no library")
    said, last = measured(empty, ("cuda:0",), None, tmp_path / "sessions.jsonl")
    assert said.startswith("cannot read NVML: ")
    assert last.energy_joules is None
