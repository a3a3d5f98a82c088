"""Rows of token ids, with what is known of them, as one padded batch; and a row taken out of it again.

Columns of a batch: the known parts, aligned right; the parts to compute, aligned right; what is generated. Padding and
the gap between the first two are masked, and positions count unmasked columns only: each row reads as if it were alone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from cscbench.adapters.hf.cache import Ids, Snapshot
from cscbench.records import Frozen


class Row(Frozen, frozen=True):
    """One sequence of ids; the states of its first `held` tokens are those of `prefix`."""

    ids: Ids
    prefix: Snapshot | None = None
    held: int = 0


class Batch(Frozen, frozen=True):
    """`ids` and `mask` of shape [rows, columns]; `cache` holds the states of the first `known` columns."""

    rows: tuple[Row, ...]
    ids: Any
    mask: Any
    cache: Any
    known: int

    @property
    def width(self) -> int:
        """Columns before the first generated one."""
        return int(self.ids.shape[1])


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """States in memory taken once, where a DynamicLayer copies them all for each new token."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity, self._length = capacity, 0
        self._keys = self._values = torch.empty(0)

    def begin(self, rows: int, keys: Any, values: Any, length: int) -> None:
        """Take memory for states like these, of shape [..., heads, tokens, head size]; `length` columns are filled."""
        # Zeros, for a masked column counts for nothing unless it holds a NaN.
        self._keys, self._values = (
            like.new_zeros((rows, like.shape[-3], self._capacity, like.shape[-1])) for like in (keys, values)
        )
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._show(length)

    def _show(self, length: int) -> None:
        self._length = length
        self.keys, self.values = self._keys[:, :, :length], self._values[:, :, :length]

    def update(self, key_states: Any, value_states: Any, *_args: Any, **_kwargs: Any) -> tuple[Any, Any]:
        """Append columns, and give all so far."""
        if not self.is_initialized:
            self.begin(key_states.shape[0], key_states, value_states, 0)
        start = self._length
        self._show(start + key_states.shape[-2])
        self.keys[:, :, start:] = key_states
        self.values[:, :, start:] = value_states
        return self.keys, self.values


def assemble(rows: Sequence[Row], pad: int, room: int) -> Batch:
    """The batch of some rows, with `room` columns for what will be generated."""
    known = max(row.held for row in rows)
    width = known + max(len(row.ids) - row.held for row in rows)
    ids = np.full((len(rows), width), pad)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for number, row in enumerate(rows):
        columns = np.r_[_held(row, known), _new(row, width)]
        ids[number, columns] = row.ids
        mask[number, columns] = 1
    return Batch(
        tuple(rows), torch.from_numpy(ids), torch.from_numpy(mask), _filled_cache(rows, known, width + room), known
    )


def _held(row: Row, known: int) -> slice:
    return slice(known - row.held, known)


def _new(row: Row, width: int) -> slice:
    return slice(width - (len(row.ids) - row.held), width)


def _filled_cache(rows: Sequence[Row], known: int, capacity: int) -> Cache:
    like = next((row.prefix for row in rows if row.prefix is not None), None)
    if like is None:
        return Cache(layer_class_to_replicate=partial(GrowingLayer, capacity))
    layers = [GrowingLayer(capacity) for _ in like.layers]
    for depth, layer in enumerate(layers):
        layer.begin(len(rows), *like.layers[depth], known)
        for number, row in enumerate(rows):
            if row.prefix is not None:
                keys, values = row.prefix.layers[depth]
                layer.keys[number, :, _held(row, known)] = keys[:, : row.held]
                layer.values[number, :, _held(row, known)] = values[:, : row.held]
    return Cache(layers=layers)


def take_out(batch: Batch, number: int, read: Sequence[int]) -> Snapshot:
    """One row's states for its own ids, and for those of the generated ones that the model has `read`."""
    row = batch.rows[number]
    columns = (_held(row, batch.known), _new(row, batch.width), slice(batch.width, batch.width + len(read)))
    states = tuple(
        (
            torch.cat([layer.keys[number, :, part] for part in columns], dim=1),
            torch.cat([layer.values[number, :, part] for part in columns], dim=1),
        )
        for layer in batch.cache.layers
    )
    return Snapshot(np.concatenate([row.ids, np.array(read, dtype=np.int64)]), states)
