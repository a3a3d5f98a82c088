"""The base of every value: immutable, and strict about what it is decoded from."""

import msgspec


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value type: immutable, and strict about what it is decoded from."""
