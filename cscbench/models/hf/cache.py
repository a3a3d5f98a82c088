"""What a dialogue's earlier requests computed: keys and values by token prefix, bounded in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from cscbench.values import Frozen

Ids = np.ndarray[Any, np.dtype[np.int64]]

# A shared beginning that spares fewer tokens than this is not worth a pass of its own.
_WORTH_A_PASS = 16


class Snapshot(Frozen, frozen=True):
    """A prefix and its states: for each layer keys and values, tensors of shape [heads, tokens, head size]."""

    ids: Ids
    layers: tuple[tuple[Any, Any], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(int(keys.nbytes + values.nbytes) for keys, values in self.layers)


def common(left: Ids, right: Ids) -> int:
    """How many ids two sequences begin with alike."""
    size = min(len(left), len(right))
    differ = np.nonzero(left[:size] != right[:size])[0]
    return int(differ[0]) if len(differ) else size


class PrefixCache:
    """Snapshots by key (a dialogue's thread); the least recently used go where all would pass `limit` bytes.

    Any snapshot serves any request that begins as it does, so a system message that all dialogues share is computed
    once.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()

    def find(self, ids: Ids) -> tuple[Snapshot | None, int]:
        """The snapshot that shares most with `ids`, and how much: never all, for one token must be computed."""
        best, shared = "", 0
        for key, snapshot in self._snapshots.items():
            length = min(common(snapshot.ids, ids), len(ids) - 1)
            if length > shared:
                best, shared = key, length
        if not shared:
            return None, 0
        self._snapshots.move_to_end(best)
        return self._snapshots[best], shared

    def keep(self, key: str, snapshot: Snapshot) -> None:
        """Keep a snapshot, in place of the key's last one."""
        self._drop(key)
        self._snapshots[key] = snapshot
        self._held += snapshot.nbytes
        while self._held > self._limit and len(self._snapshots) > 1:
            self._drop(next(iter(self._snapshots)))

    def _drop(self, key: str) -> None:
        old = self._snapshots.pop(key, None)
        if old is not None:
            self._held -= old.nbytes

    def clear(self) -> bool:
        """Forget everything; whether there was anything."""
        held = bool(self._snapshots)
        self._snapshots.clear()
        self._held = 0
        return held


def shared_prefixes(prompts: Sequence[Ids], held: Sequence[int]) -> list[Ids]:
    """What to compute before the batch: of prompts that begin alike, the longest, without its last token.

    The others then have all that they share with it, and the batch is not as wide as the longest's own end. `held` says
    how many ids of each prompt a cache already has.
    """
    found: dict[bytes, Ids] = {}
    for number, ids in enumerate(prompts):
        shared = max((min(common(ids, other), len(ids) - 1) for other in prompts[:number]), default=0)
        if shared - held[number] >= _WORTH_A_PASS:
            found.setdefault(ids[:shared].tobytes(), ids[:shared])
    longest = [own for own in found.values() if not any(_begins(longer, own) for longer in found.values())]
    return [max((ids for ids in prompts if common(ids, own) == len(own)), key=len)[:-1] for own in longest]


def _begins(longer: Ids, own: Ids) -> bool:
    """Whether `own` is another sequence's beginning, and not all of it."""
    return len(own) < len(longer) and common(own, longer) == len(own)
