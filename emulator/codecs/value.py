"""The typed value beside a definition: a record with slots, compared by its fields.

It is what a slotted dataclass is, but its constructor is C: 60 ns instead of 175, and an exchange makes thirty of them.
"""

import msgspec


class Value(msgspec.Struct, gc=False):
    """One frame, or a part of one, as fields. Values hold plain data and never each other in a circle, so the garbage
    collector need not look at them."""


class SharedValue(msgspec.Struct, gc=False, frozen=True):
    """A value that cannot change, and so may be kept and handed to many."""


def field_names(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of a kind of value, in order."""
    return kind.__struct_fields__
