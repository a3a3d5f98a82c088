"""Measures the resources that a process uses while its adapter answers, and records them regularly (sessions.jsonl)."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from cscbench.asking import store
from cscbench.asking.cost import Session
from cscbench.models.backend import Adapter
from cscbench.values import Reply, Request

# A kill loses the measurements since the last line: this long, or the batch in flight, whose replies are lost as well.
EVERY_S = 30.0

_COVERS = "whole boards, including other work on them, since the model was loaded"


class Meter:
    """Adds up the time with a request in flight. `devices` are those of `LoadedAdapter`."""

    def __init__(self, path: Path, devices: tuple[str, ...]) -> None:
        store.repair(path, Session)
        self._lines = store.Appender(path)
        self._started = datetime.now(UTC).isoformat(timespec="microseconds")
        self._devices = devices
        self._joules_before = joules(devices)
        self._in_flight, self._since, self._wall = 0, 0.0, 0.0
        self._write(ended=False)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Measure while one request is in flight; requests may overlap."""
        if self._in_flight == 0:
            self._since = time.monotonic()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._wall += time.monotonic() - self._since
            if time.monotonic() - self._written >= EVERY_S:
                self._write(ended=False)

    def close(self) -> None:
        """Write the last line. Call before closing the adapter, so that its child processes' memory is counted."""
        self._write(ended=True)
        self._lines.close()

    def _write(self, ended: bool) -> None:
        self._written = time.monotonic()
        before, now = self._joules_before, joules(self._devices)
        unread = next((reason for reason in (before, now) if isinstance(reason, str)), "")
        self._lines.append(
            Session(
                started=self._started,
                wall_seconds=round(self._wall + (self._written - self._since if self._in_flight else 0), 6),
                devices=self._devices,
                peak_memory=peak_memory(),
                peak_device_memory=peak_device_memory(),
                energy_joules=None if isinstance(before, str) or isinstance(now, str) else round(now - before, 3),
                energy_note=unread or _COVERS,
                ended=ended,
            )
        )


class Metered:
    """An adapter whose requests a meter measures."""

    def __init__(self, adapter: Adapter, meter: Meter) -> None:
        self._adapter, self._meter = adapter, meter

    async def generate(self, request: Request) -> Reply:
        with self._meter.request():
            return await self._adapter.generate(request)

    def close(self) -> None:
        """Take the last measurement, then free the adapter's resources."""
        try:
            self._meter.close()
        finally:
            self._adapter.close()


def peak_memory() -> int | None:
    """Return bytes of main memory: the peaks of this process and its living children, which may share pages."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Not ru_maxrss: a child inherits its parent's through fork and exec.
    peaks = [_peak_kib(process) for process in _family(os.getpid())]
    return sum(peaks) * 1024 or None


def _family(process: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    yield process
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = listed.read_text(encoding="ascii").split()
        except OSError:
            continue  # it has ended in the meantime
        for child in children:
            yield from _family(int(child))


def _peak_kib(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0  # it has ended in the meantime
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def peak_device_memory() -> int | None:
    """Return torch's peak bytes on CUDA devices, in this process; None if torch has not used any."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return sum(torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count())) or None


def joules(devices: tuple[str, ...]) -> float | str:
    """Return the energy these devices have used since their driver was loaded, or why it cannot be read."""
    if not devices:
        return "the adapter does not report which devices its model is on"
    without_counter = [device for device in devices if device.partition(":")[0] != "cuda"]
    if without_counter:
        return f"no energy counter for {', '.join(without_counter)}: NVML supports NVIDIA GPUs only"
    if find_spec("pynvml") is None:
        return 'cannot read NVML: pip install "cscbench[hf]" (nvidia-ml-py)'
    import pynvml

    try:
        pynvml.nvmlInit()
        used = [pynvml.nvmlDeviceGetTotalEnergyConsumption(_board(device)) for device in devices]
    except pynvml.NVMLError as error:
        return f"cannot read NVML: {error}"
    return float(sum(used)) / 1000


def _board(device: str) -> object:
    """Return NVML's handle for a CUDA device: CUDA numbers only those in CUDA_VISIBLE_DEVICES, NVML all."""
    import pynvml

    index = int(device.partition(":")[2] or 0)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = visible[index] if index < len(visible) else str(index)
    return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)
