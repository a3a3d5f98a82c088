"""Progress displays: a bar with rate and remaining time on a terminal, a log line every few seconds elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cscbench.values import Frozen

log = logging.getLogger("cscbench")

_PLAIN_EVERY_S = 15.0


class _Rate(Frozen, frozen=True):
    per_second: float
    left: str


def _rate(done: int, known: int, total: int, started: float) -> _Rate:
    """Return rate and remaining time; replies that were on disk already do not count toward the rate."""
    new = done - known
    per_second = new / max(time.monotonic() - started, 1e-9)
    seconds = int((total - done) / per_second) if new else 0
    left = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if new else "?"
    return _Rate(per_second, left)


class Progress:
    """Counts the work done out of `total`; `skip` counts what required no work."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done = self._known = 0
        self._started = self._last_shown = time.monotonic()

    def skip(self) -> None:
        """Count one that was already done."""
        self._known += 1
        self.step()

    def step(self, count: int = 1) -> None:
        """Count more as done. The total grows if needed: a judge may be asked more often than planned."""
        self._done += count
        self._total = max(self._total, self._done)
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._last_shown < _PLAIN_EVERY_S:
            return
        self._last_shown = now
        rate = _rate(self._done, self._known, self._total, self._started)
        log.info("%s: %d/%d, %.2f/s, %s left", self._label, self._done, self._total, rate.per_second, rate.left)


class _BarProgress(Progress):
    def __init__(self, label: str, total: int) -> None:
        super().__init__(label, total)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total, rate="")
        self._bar.start()

    def _show(self) -> None:
        rate = _rate(self._done, self._known, self._total, self._started)
        self._bar.update(
            self._task, completed=self._done, total=self._total, rate=f"{rate.per_second:.2f}/s  {rate.left} left"
        )

    def stop(self) -> None:
        """Remove the bar."""
        self._bar.stop()


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """Show progress on standard error for the duration of the `with`; nothing under `--quiet`."""
    if not sys.stderr.isatty() or not log.isEnabledFor(logging.INFO):
        yield Progress(label, total)
        return
    bar = _BarProgress(label, total)
    try:
        yield bar
    finally:
        bar.stop()
