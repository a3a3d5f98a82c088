"""The meter on a clock that the test sets: seconds in flight, when lines are written, joules and memory."""

import os
from types import SimpleNamespace

import pytest

from cscbench.asking import meter, store
from cscbench.asking.cost import Session
from cscbench.asking.meter import Meter


@pytest.fixture
def clock(monkeypatch):
    now = [500.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def counter(monkeypatch):
    """What the boards have used; a text where it cannot be read."""
    used = [100.0]
    monkeypatch.setattr(meter, "joules", lambda devices: used[0])
    return used


def sessions(path) -> list[Session]:
    return list(store.read_lines(path, Session).values)


def test_seconds_are_those_with_a_request_in_flight(tmp_path, clock):
    path = tmp_path / "sessions.jsonl"
    made = Meter(path, ())
    clock[0] += 7
    with made.request():
        clock[0] += 1
        with made.request():
            clock[0] += 2
        clock[0] += 0.1234567
    clock[0] += 5
    with made.request():
        clock[0] += 4
    made.close()
    first, last = sessions(path)
    assert (first.wall_seconds, first.ended) == (0.0, False)
    assert (last.wall_seconds, last.ended) == (7.123457, True)
    assert first.started == last.started


def test_a_line_is_written_every_thirty_seconds_when_a_request_ends(tmp_path, clock):
    path = tmp_path / "sessions.jsonl"
    made = Meter(path, ())
    written = []
    for seconds in (29.5, 0.5, 29.999, 30.0, 100.0):
        with made.request():
            clock[0] += seconds
        written.append(len(sessions(path)))
    made._lines.close()
    assert written == [1, 2, 2, 3, 4]
    assert [line.wall_seconds for line in sessions(path)] == [0.0, 30.0, 89.999, 189.999]
    assert not any(line.ended for line in sessions(path))


def test_a_line_counts_what_is_still_in_flight(tmp_path, clock):
    path = tmp_path / "sessions.jsonl"
    made = Meter(path, ())
    with made.request():
        with made.request():
            clock[0] += 40
        assert sessions(path)[-1].wall_seconds == 40.0
        clock[0] += 2
    made.close()
    assert sessions(path)[-1].wall_seconds == 42.0


def test_joules_are_what_was_used_since_the_start(tmp_path, counter):
    path = tmp_path / "sessions.jsonl"
    made = Meter(path, ("cuda:0",))
    counter[0] = 112.34567
    made.close()
    first, last = sessions(path)
    assert (first.energy_joules, last.energy_joules) == (0.0, 12.346)
    assert first.energy_note == last.energy_note
    assert "whole boards" in last.energy_note
    assert last.devices == ("cuda:0",)


@pytest.mark.parametrize(("before", "now", "note"), [("no", 5.0, "no"), (5.0, "gone", "gone"), ("no", "gone", "no")])
def test_joules_need_both_readings_and_the_first_reason_is_noted(tmp_path, counter, before, now, note):
    path = tmp_path / "sessions.jsonl"
    counter[0] = before
    made = Meter(path, ("cuda:0",))
    counter[0] = now
    made.close()
    assert (sessions(path)[-1].energy_joules, sessions(path)[-1].energy_note) == (None, note)


@pytest.mark.parametrize(("platform", "factor"), [("darwin", 1), ("freebsd", 1024)])
def test_elsewhere_peak_memory_is_the_systems_own_in_its_unit(monkeypatch, platform, factor):
    monkeypatch.setattr(meter.sys, "platform", platform)
    monkeypatch.setattr(meter.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=5000))
    assert meter.peak_memory() == 5000 * factor


def test_on_linux_peak_memory_adds_up_a_family_in_kibibytes(monkeypatch):
    monkeypatch.setattr(meter, "_family", lambda process: iter([1, 2]))
    monkeypatch.setattr(meter, "_peak_kib", lambda process: 10 * process)
    assert meter.peak_memory() == 30 * 1024
    monkeypatch.setattr(meter, "_peak_kib", lambda process: 0)
    assert meter.peak_memory() is None


@pytest.mark.skipif(meter.sys.platform != "linux", reason="reads /proc")
def test_a_process_that_has_ended_has_no_memory():
    assert meter._peak_kib(2**22 + 1) == 0
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and is still listed
    assert meter._peak_kib(child) == 0
    os.waitpid(child, 0)
    assert meter._peak_kib(os.getpid()) > 1000


@pytest.mark.parametrize(
    ("initialised", "held", "expected"), [(False, [7], None), (True, [7, 5], 12), (True, [0], None), (True, [], None)]
)
def test_device_memory_is_torchs_peak_over_all_devices(monkeypatch, initialised, held, expected):
    cuda = SimpleNamespace(
        is_initialized=lambda: initialised, max_memory_allocated=held.__getitem__, device_count=lambda: len(held)
    )
    monkeypatch.setitem(meter.sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert meter.peak_device_memory() == expected


def test_without_torch_there_is_no_device_memory(monkeypatch):
    monkeypatch.delitem(meter.sys.modules, "torch", raising=False)
    assert meter.peak_device_memory() is None


class Boards:
    """A driver of three boards that have used 1, 2 and 4 kJ and more."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, error: str = "") -> None:
        self._error = error

    def nvmlInit(self) -> None:
        if self._error:
            raise self.NVMLError(self._error)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:
        return int(name.removeprefix("GPU-"))

    def nvmlDeviceGetTotalEnergyConsumption(self, board: int) -> int:
        return (1_000_500, 2_000_000, 4_000_000)[board]


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [
        (("cuda",), "", 1000.5),
        (("cuda:0",), "", 1000.5),
        (("cuda:1",), "", 2000.0),
        (("cuda:0", "cuda:2"), "", 5000.5),
        (("cuda:0",), "2", 4000.0),
        (("cuda:1",), "2, 0", 1000.5),
        (("cuda:1",), "2", 2000.0),
        (("cuda:0",), "GPU-1", 2000.0),
    ],
)
def test_joules_are_of_the_boards_that_cuda_counts(monkeypatch, devices, visible, expected):
    monkeypatch.setitem(meter.sys.modules, "pynvml", Boards())
    monkeypatch.setattr(meter, "find_spec", lambda name: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert meter.joules(devices) == expected


@pytest.mark.parametrize(
    ("devices", "driver", "reason"),
    [
        ((), True, "devices"),
        (("cuda:0", "cpu"), True, "cpu"),
        (("cuda:0",), False, "cscbench"),
        (("cuda:0",), True, "lost"),
    ],
)
def test_where_joules_cannot_be_read_the_reason_is_said(monkeypatch, devices, driver, reason):
    monkeypatch.setitem(meter.sys.modules, "pynvml", Boards("lost"))
    monkeypatch.setattr(meter, "find_spec", lambda name: True if driver else None)
    assert reason in meter.joules(devices)
