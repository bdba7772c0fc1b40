"""Static label tables in TOML: routers, their interfaces, labels and routes, and the wires between them.

    [[router]]
    name = "PE1"
    ttl = "pipe"                                  # and the other fields of `Habits`
    [[router.interface]]
    name = "core"
    encapsulation = "udp"                         # plain, ethernet, udp, ip
    local = "198.18.0.1"                          # udp and ip: ours and the neighbour's address; ethernet: MACs
    remote = "198.18.128.1"
    mtu = 1500
    [[router.interface]]
    name = "to-a"
    encapsulation = "plain"
    vrf = "a"
    address = "10.0.0.254"
    [[router.label]]
    in = 500
    vrf = "a"                                     # pop, look up there; or `interface` with `out = [...]` (none: pop)
    [[router.route]]
    vrf = "a"
    prefix = "10.128.0.0/9"
    interface = "core"
    push = [16, 501]                              # outermost first
    [[router.fault]]
    kind = "php-off"                              # the words of `faults.KINDS`
    label = 500                                   # and from, until (seconds since 1970), by
    [[wire]]
    ends = ["PE1.core", "P.west"]

Everything is checked before any packet is: an unknown word, a missing one, a label out of range, a route through an
interface that is not there. The error names file, router and entry.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from emulator.errors import InputError, UsageError
from emulator.kernel.time import SECOND
from emulator.link.mpls.encapsulation import Encapsulation, Ethernet, InIp, InUdp, Plain
from emulator.link.mpls.faults import FOREVER, LsrFault
from emulator.link.mpls.habits import HIGHEST, Habits
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.network import End, Network
from emulator.link.mpls.tables import Inside, Towards

_HABITS = {field.name for field in fields(Habits)}
_LAST = FOREVER // SECOND
_MTU = (68, 65_535)  # RFC 791


def load(path: Path) -> Network:
    """The network of a file. InputError: it cannot be read, is no TOML, or says something that cannot be."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"cannot read the label tables {path}: {reason}; name a TOML file") from error
    try:
        return build(tomllib.loads(text), str(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML: {error}") from error


def build(tables: Mapping[str, Any], where: str) -> Network:
    """The network of what a file said; `where` begins every InputError."""
    top = _Entry(tables, where)
    routers = [_router(_Entry(one, f"{where}: router {n}")) for n, one in enumerate(top.list("router"), 1)]
    if not routers:
        raise top.wrong("no [[router]]")
    wires = [_wire(_Entry(one, f"{where}: wire {n}")) for n, one in enumerate(top.list("wire"), 1)]
    top.done()
    try:
        return Network(routers, wires)
    except UsageError as error:
        raise top.wrong(str(error)) from error


class _Entry:
    """A table of the file, whose words are asked for one by one; what nobody asked for is a mistake."""

    def __init__(self, table: Any, where: str) -> None:
        self.where = where
        if not isinstance(table, Mapping):
            raise self.wrong("a table belongs here")
        self._table = dict(table)

    def wrong(self, why: str) -> InputError:
        return InputError(f"{self.where}: {why}")

    def has(self, name: str) -> bool:
        return name in self._table

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        if name not in self._table:
            if default is None:
                raise self.wrong(f"`{name}` is missing")
            return default
        value = self._table.pop(name)
        if type(value) is not kind:
            raise self.wrong(f"`{name}` is {value!r}; it must be a {kind.__name__}")
        return value

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value: int = self.take(name, int, default)
        if not low <= value <= high:
            raise self.wrong(f"`{name}` is {value}; use {low} to {high}")
        return value

    def list(self, name: str) -> list[Any]:
        found: list[Any] = self.take(name, list, [])
        return found

    def address(self, name: str) -> int:
        text = self.take(name, str)
        try:
            return int(IPv4Address(text))
        except ValueError as error:
            raise self.wrong(f"`{name}` is {text!r}; it must be an IPv4 address") from error

    def done(self) -> None:
        if self._table:
            raise self.wrong(f"there is no `{min(self._table)}`")


def _router(entry: _Entry) -> Lsr:
    name = entry.take("name", str)
    entry.where += f" ({name})"
    habits = _habits(entry)
    interfaces = [_interface(_Entry(one, f"{entry.where}, interface {n}")) for n, one in _numbered(entry, "interface")]
    labels, routes, faults = (_numbered(entry, name) for name in ("label", "route", "fault"))
    entry.done()
    try:
        router = Lsr(name, interfaces, habits)
    except UsageError as error:
        raise entry.wrong(str(error)) from error
    for n, one in labels:
        _label(router, _Entry(one, f"{entry.where}, label {n}"))
    for n, one in routes:
        _route(router, _Entry(one, f"{entry.where}, route {n}"))
    router.faults = tuple(_fault(_Entry(one, f"{entry.where}, fault {n}")) for n, one in faults)
    return router


def _numbered(entry: _Entry, name: str) -> list[tuple[int, Any]]:
    return list(enumerate(entry.list(name), 1))


def _habits(entry: _Entry) -> Habits:
    said: dict[str, Any] = {}
    for name in sorted(_HABITS):
        if entry.has(name):
            kind: type = {"ttl": str, "pipe_ttl": int}.get(name, bool)
            said[name] = entry.take(name, kind)
    if said.get("ttl", "uniform") not in ("uniform", "pipe"):
        raise entry.wrong(f"`ttl` is {said['ttl']!r}; choose uniform or pipe")
    if not 1 <= said.get("pipe_ttl", 255) <= 255:
        raise entry.wrong(f"`pipe_ttl` is {said['pipe_ttl']}; use 1 to 255")
    return Habits(**said)


def _interface(entry: _Entry) -> Interface:
    name = entry.take("name", str)
    encapsulation = _encapsulation(entry)
    address = entry.address("address") if entry.has("address") else None
    made = Interface(name, encapsulation, entry.number("mtu", *_MTU, default=1500), entry.take("vrf", str, ""), address)
    entry.done()
    return made


def _encapsulation(entry: _Entry) -> Encapsulation:
    kind = entry.take("encapsulation", str)
    if kind == "plain":
        return Plain()
    if kind == "ethernet":
        return Ethernet(_mac(entry, "local"), _mac(entry, "remote"))
    if kind in ("udp", "ip"):
        make = InUdp if kind == "udp" else InIp
        return make(entry.address("local"), entry.address("remote"), entry.number("outer_ttl", 1, 255, 64))
    raise entry.wrong(f"`encapsulation` is {kind!r}; choose from plain, ethernet, udp, ip")


def _mac(entry: _Entry, name: str) -> bytes:
    text = entry.take(name, str)
    try:
        value = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        value = b""
    if len(value) != 6:
        raise entry.wrong(f"`{name}` is {text!r}; it must be a MAC address such as 02:00:00:00:00:01")
    return value


def _towards(router: Lsr, entry: _Entry, word: str) -> Towards:
    """Out of an interface, under the labels of `word`."""
    interface = entry.take("interface", str)
    labels = entry.list(word)
    if interface not in router.interfaces:
        raise entry.wrong(f"there is no interface {interface!r}; choose from {', '.join(router.interfaces) or 'none'}")
    if any(type(label) is not int for label in labels) or len(labels) > 8:
        raise entry.wrong(f"`{word}` is {labels!r}; it must be a list of at most 8 labels")
    if labels and isinstance(router.interfaces[interface].encapsulation, Plain):
        raise entry.wrong(f"interface {interface} is plain and carries no labels")
    via = entry.address("via") if entry.has("via") else None
    try:
        return Towards(interface, tuple(labels), via)
    except UsageError as error:
        raise entry.wrong(str(error)) from error


def _label(router: Lsr, entry: _Entry) -> None:
    label = entry.number("in", 16, HIGHEST)
    if label in router.labels:
        raise entry.wrong(f"label {label} is there already")
    if entry.has("interface"):
        router.labels[label] = _towards(router, entry, "out")
    else:
        router.labels[label] = Inside(_vrf(router, entry, None))
    entry.done()


def _vrf(router: Lsr, entry: _Entry, default: str | None) -> str:
    vrf: str = entry.take("vrf", str, default)
    if vrf not in router.vrfs:
        raise entry.wrong(f"no interface is in VRF {vrf!r}")
    return vrf


def _route(router: Lsr, entry: _Entry) -> None:
    vrf = _vrf(router, entry, "")
    text = entry.take("prefix", str)
    try:
        prefix = IPv4Network(text)
    except ValueError as error:
        raise entry.wrong(f"`prefix` is {text!r}; it must be an IPv4 prefix without host bits") from error
    router.vrfs[vrf].add(int(prefix.network_address), prefix.prefixlen, _towards(router, entry, "push"))
    entry.done()


def _fault(entry: _Entry) -> LsrFault:
    kind = entry.take("kind", str)
    label = entry.number("label", 0, HIGHEST) if entry.has("label") else None
    start, end = (entry.number(word, 0, _LAST, default) * SECOND for word, default in (("from", 0), ("until", _LAST)))
    by = entry.number("by", 1, HIGHEST, 1)
    entry.done()
    try:
        return LsrFault(kind, label, start, end, by)
    except InputError as error:
        raise entry.wrong(str(error)) from error


def _wire(entry: _Entry) -> tuple[End, End]:
    ends = entry.list("ends")
    found: list[End] = []
    for end in ends:
        router, dot, interface = end.partition(".") if isinstance(end, str) else ("", "", "")
        if not dot:
            raise entry.wrong(f"`ends` has {end!r}; write router.interface")
        found.append((router, interface))
    if len(found) != 2:
        raise entry.wrong("`ends` has two of them")
    entry.done()
    return found[0], found[1]
