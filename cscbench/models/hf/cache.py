"""A cache of keys and values by token prefix, bounded in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from cscbench.values import Frozen

Ids = np.ndarray[Any, np.dtype[np.int64]]

# A shared prefix that saves fewer tokens than this is not worth a separate forward pass.
_MIN_SHARED = 16


class Snapshot(Frozen, frozen=True):
    """A prefix and its states: keys and values of each layer, as tensors of shape [heads, tokens, head size]."""

    ids: Ids
    layers: tuple[tuple[Any, Any], ...]

    @property
    def nbytes(self) -> int:
        """The size of all its tensors."""
        return sum(int(keys.nbytes + values.nbytes) for keys, values in self.layers)


def shared_length(left: Ids, right: Ids) -> int:
    """Return the length of the longest common prefix of two sequences."""
    size = min(len(left), len(right))
    differ = np.nonzero(left[:size] != right[:size])[0]
    return int(differ[0]) if len(differ) else size


class PrefixCache:
    """Snapshots by key (a dialogue's thread); the least recently used are dropped to keep within `limit` bytes.

    A snapshot serves every request that starts with the same ids, so a system message that all dialogues share is
    computed once.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held_bytes = limit, 0
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()

    def find(self, ids: Ids) -> tuple[Snapshot | None, int]:
        """Return the snapshot that shares most with `ids`, and how much: never all, as one token must be computed."""
        best, shared = "", 0
        for key, snapshot in self._snapshots.items():
            length = min(shared_length(snapshot.ids, ids), len(ids) - 1)
            if length > shared:
                best, shared = key, length
        if not shared:
            return None, 0
        self._snapshots.move_to_end(best)
        return self._snapshots[best], shared

    def put(self, key: str, snapshot: Snapshot) -> None:
        """Store a snapshot in place of the key's last one."""
        self._drop(key)
        self._snapshots[key] = snapshot
        self._held_bytes += snapshot.nbytes
        while self._held_bytes > self._limit and len(self._snapshots) > 1:
            self._drop(next(iter(self._snapshots)))

    def _drop(self, key: str) -> None:
        old = self._snapshots.pop(key, None)
        if old is not None:
            self._held_bytes -= old.nbytes

    def clear(self) -> bool:
        """Drop everything; return whether there was anything."""
        had_snapshots = bool(self._snapshots)
        self._snapshots.clear()
        self._held_bytes = 0
        return had_snapshots


def shared_prefixes(prompts: Sequence[Ids], held: Sequence[int]) -> list[Ids]:
    """Return what to compute before the batch: of prompts with a shared prefix, the longest, without its last token.

    The others then find all that they share with it in the cache, and the batch needs no columns for the longest's
    remainder. `held` has the number of ids of each prompt that the cache already has.
    """
    prefixes: dict[bytes, Ids] = {}
    for index, ids in enumerate(prompts):
        shared = max((min(shared_length(ids, earlier), len(ids) - 1) for earlier in prompts[:index]), default=0)
        if shared - held[index] >= _MIN_SHARED:
            prefixes.setdefault(ids[:shared].tobytes(), ids[:shared])
    longest = [
        ids for ids in prefixes.values() if not any(_is_proper_prefix(ids, longer) for longer in prefixes.values())
    ]
    return [
        max((ids for ids in prompts if shared_length(ids, prefix) == len(prefix)), key=len)[:-1] for prefix in longest
    ]


def _is_proper_prefix(ids: Ids, longer: Ids) -> bool:
    return len(ids) < len(longer) and shared_length(ids, longer) == len(ids)
