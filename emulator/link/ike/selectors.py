"""Traffic selectors narrowed (RFC 7296 2.9): what both ends will carry is what both named."""

from collections.abc import Iterable

from emulator.codecs.ike_payloads import Selector


def intersection(one: Selector, other: Selector) -> Selector | None:
    """What is in both, or None. A protocol of 0 is any; so are all ports."""
    if one.kind != other.kind or (one.protocol and other.protocol and one.protocol != other.protocol):
        return None
    first, last = max(one.first, other.first), min(one.last, other.last)
    first_port, last_port = max(one.first_port, other.first_port), min(one.last_port, other.last_port)
    if first > last or first_port > last_port:
        return None
    return Selector(one.kind, one.protocol or other.protocol, first_port, last_port, first, last)


def narrowed(theirs: Iterable[Selector], ours: Iterable[Selector]) -> tuple[Selector, ...]:
    """Everything in both lists, in their order, nothing twice and nothing that another of them holds."""
    mine = tuple(ours)
    found: list[Selector] = []
    for one in theirs:
        for other in mine:
            both = intersection(one, other)
            if both is not None and not any(intersection(both, held) == both for held in found):
                found = [held for held in found if intersection(held, both) != held]
                found.append(both)
    return tuple(found)


def within(inner: Iterable[Selector], outer: Iterable[Selector]) -> bool:
    """Whether each of `inner` lies in one of `outer`: a responder may narrow and never widen."""
    held = tuple(outer)
    return all(any(intersection(one, other) == one for other in held) for one in inner)
