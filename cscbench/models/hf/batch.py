"""Rows of token ids, with their cached states, as one padded batch; and a row extracted from it again.

Columns of a batch: the cached parts, right-aligned; the parts to compute, right-aligned; the generated tokens. Padding
and the gap between the first two are masked, and positions count unmasked columns only, so that each row is computed
as if it were alone.
"""

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from cscbench.models.hf.cache import Ids, Snapshot
from cscbench.values import Frozen


class BatchRow(Frozen, frozen=True):
    """One sequence of ids; `prefix` has the states of its first `held` tokens."""

    ids: Ids
    prefix: Snapshot | None = None
    held: int = 0


class Batch(Frozen, frozen=True):
    """`ids` and `mask` of shape [rows, columns]; `cache` has the states of the first `known` columns."""

    rows: tuple[BatchRow, ...]
    ids: Any
    mask: Any
    cache: Any
    known: int

    @property
    def width(self) -> int:
        """The number of columns before the first generated one."""
        return int(self.ids.shape[1])


class Memory:
    """Reusable memory for the states of one batch at a time: on a CPU, fresh pages cost more than writing to them."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], Any] = {}

    def take(self, layer: int, name: str, shape: tuple[int, ...], like: Any) -> Any:
        """Return an uninitialized tensor of a shape, with the dtype and device of `like`."""
        size, held = math.prod(shape), self._held.get((layer, name))
        if held is None or held.numel() < size or (held.dtype, held.device) != (like.dtype, like.device):
            del held
            self._held.pop((layer, name), None)  # freed before more is allocated
            held = self._held[layer, name] = like.new_empty(size)
        return held[:size].view(shape)

    def clear(self) -> None:
        """Free the memory."""
        self._held.clear()


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """States in preallocated memory; a DynamicLayer copies all of them for each new token."""

    def __init__(self, memory: Memory, index: int, capacity: int) -> None:
        super().__init__()
        self._memory, self._index, self._capacity, self._length = memory, index, capacity, 0
        self._keys = self._values = torch.empty(0)

    def begin(self, rows: int, keys: Any, values: Any, length: int) -> None:
        """Allocate memory for states like these, of shape [..., heads, tokens, head size]; expose `length` columns."""
        self._keys, self._values = (
            self._memory.take(self._index, name, (rows, like.shape[-3], self._capacity, like.shape[-1]), like)
            for name, like in (("keys", keys), ("values", values))
        )
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._expose(length)

    def _expose(self, length: int) -> None:
        self._length = length
        self.keys, self.values = self._keys[:, :, :length], self._values[:, :, :length]

    def update(self, key_states: Any, value_states: Any, *_args: Any, **_kwargs: Any) -> tuple[Any, Any]:
        """Append columns and return all of them."""
        if not self.is_initialized:
            self.begin(key_states.shape[0], key_states, value_states, 0)
        start = self._length
        self._expose(start + key_states.shape[-2])
        self.keys[:, :, start:] = key_states
        self.values[:, :, start:] = value_states
        return self.keys, self.values


def assemble(rows: Sequence[BatchRow], pad: int, room: int, memory: Memory) -> Batch:
    """Return a batch of rows with `room` columns for generated tokens; it overwrites the last batch in `memory`."""
    known = max(row.held for row in rows)
    width = known + max(len(row.ids) - row.held for row in rows)
    ids = np.full((len(rows), width), pad)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        columns = np.r_[_held_columns(row, known), _new_columns(row, width)]
        ids[index, columns] = row.ids
        mask[index, columns] = 1
    with torch.inference_mode():  # the memory may have been allocated in inference mode
        cache = _filled_cache(rows, known, width + room, memory)
    return Batch(tuple(rows), torch.from_numpy(ids), torch.from_numpy(mask), cache, known)


def _held_columns(row: BatchRow, known: int) -> slice:
    return slice(known - row.held, known)


def _new_columns(row: BatchRow, width: int) -> slice:
    return slice(width - (len(row.ids) - row.held), width)


def _filled_cache(rows: Sequence[BatchRow], known: int, capacity: int, memory: Memory) -> Cache:
    like = next((row.prefix for row in rows if row.prefix is not None), None)
    if like is None:
        indices = count()
        return Cache(layer_class_to_replicate=lambda: GrowingLayer(memory, next(indices), capacity))
    layers = [GrowingLayer(memory, index, capacity) for index in range(len(like.layers))]
    for depth, layer in enumerate(layers):
        layer.begin(len(rows), *like.layers[depth], known)
        for index, row in enumerate(rows):
            # A masked column has no effect unless it holds a NaN.
            layer.keys[index, :, : known - row.held] = 0
            layer.values[index, :, : known - row.held] = 0
            if row.prefix is not None:
                keys, values = row.prefix.layers[depth]
                layer.keys[index, :, _held_columns(row, known)] = keys[:, : row.held]
                layer.values[index, :, _held_columns(row, known)] = values[:, : row.held]
    return Cache(layers=layers)


def extract_row(batch: Batch, index: int, read: Sequence[int]) -> Snapshot:
    """Return one row's states for its own ids and for the generated ids that the model has `read`."""
    row = batch.rows[index]
    columns = (
        _held_columns(row, batch.known),
        _new_columns(row, batch.width),
        slice(batch.width, batch.width + len(read)),
    )
    states = tuple(
        (
            torch.cat([layer.keys[index, :, part] for part in columns], dim=1),
            torch.cat([layer.values[index, :, part] for part in columns], dim=1),
        )
        for layer in batch.cache.layers
    )
    return Snapshot(np.concatenate([row.ids, np.array(read, dtype=np.int64)]), states)
