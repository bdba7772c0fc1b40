"""MPLS label stacks (RFC 3032, RFC 5462)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Label:
    """`label` 20 bits, `traffic_class` 3 bits, `ttl` 8 bits. The bottom-of-stack bit is the stack's affair."""

    label: int
    traffic_class: int
    ttl: int


@dataclass(slots=True)
class MPLS:
    """`labels` outermost first, at least one."""

    labels: tuple[Label, ...]
    payload: bytes
