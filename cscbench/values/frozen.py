"""The base class of every value."""

import msgspec


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value type: immutable; decoding rejects unknown fields."""
