"""Estates listed one by one: the file that `smets1 estate import` writes and every command reads.

One JSON value a line. The first line is a recipe (what is common to the estate: start, pacing, link, the combinations
found and the EPCL); every further line is one home. Lines, so that a home is found by its offset and a list of any
length costs a few bytes a home; one file, so that it is replaced whole or not at all. It may hold test keys and
is therefore written for its owner's eyes alone.

Every line is decoded once when the file is opened: a bad row is told before a campaign begins, not in the middle.
"""

import contextlib
import os
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from emulator.errors import InputError
from emulator.files import replacing
from emulator.fleet import recipe_reading, tariffs
from emulator.fleet.identity import DISTRIBUTORS, HOMES_MOST
from emulator.fleet.installation import KINDS, Condition, DeviceKeys, DeviceSpec, Installation, Wiring
from emulator.fleet.recipe import DEVICE_NAMES, Recipe, condition_parts
from emulator.kernel.machine import Party

FORMAT: Final = "smets1-estate"
LINE_MOST: Final = 1 << 20

Hex16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


class ListedDevice(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One device. Keys are test keys in hexadecimal; `kek` empty with `ek` given: the old operator has none."""

    model: str
    serial: str
    firmware: str
    title: Hex16
    eui64: Hex16
    ek: Hex32 | None = None
    ak: Hex32 | None = None
    kek: Hex32 | None = None


class ListedHome(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One home. `condition` is "family:detail:device" (the device empty where it is the whole home)."""

    id: str
    active: bool
    combination: str
    supplier: str
    region: str
    mpan: str
    hub: ListedDevice
    electricity: ListedDevice
    mprn: str | None = None
    gas: ListedDevice | None = None
    ihd: ListedDevice | None = None
    switches: Annotated[int, Meta(ge=0, le=5)] = 0
    tariff: str | None = None
    condition: str | None = None

    def devices(self) -> list[tuple[Party, ListedDevice]]:
        """The devices there are, in the order of `Party`."""
        every = [(kind, getattr(self, name)) for name, kind in DEVICE_NAMES.items()]
        return [(kind, device) for kind, device in every if device is not None]


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    format: str
    version: int
    homes: int
    recipe: Recipe


_ENCODER: Final = msgspec.json.Encoder()
_HEADER: Final = msgspec.json.Decoder(Header)
_HOME: Final = msgspec.json.Decoder(ListedHome)


def is_listing(file: Path) -> bool:
    """Does the file begin like a listing (and not like TOML)? Raises InputError when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(1) == b"{"
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error


def encode(home: ListedHome) -> bytes:
    """A home as a line."""
    return _ENCODER.encode(home) + b"\n"


def write(file: Path, recipe: Recipe, lines: Iterable[bytes], count: int) -> None:
    """Write a listing, whole or not at all, readable for its owner only. Raises InputError."""
    with replacing(file) as stream:
        stream.write(_ENCODER.encode(Header(FORMAT, 1, count, recipe)) + b"\n")
        stream.writelines(lines)


class ListedHomes:
    """The homes of a listing, or its first `installations`. Raises InputError by line when it is not sound."""

    def __init__(self, file: Path, installations: int | None = None) -> None:
        self._file = file
        self._asked = installations
        self._offsets = array("q")
        self._active = bytearray()
        self._last: tuple[int, ListedHome] | None = None
        try:
            self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error
        header = self._index()
        count = len(self._active)
        if installations is not None and not 1 <= installations <= count:
            raise InputError(f"{file}: {installations} installations asked for, the list has {count}")
        count = count if installations is None else installations
        active = sum(self._active[:count])
        self.recipe = msgspec.structs.replace(header.recipe, active=active, dormant=count - active)
        self._combinations = {each.name for each in self.recipe.combinations}

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)

    def __reduce__(self) -> tuple[type["ListedHomes"], tuple[Path, int | None]]:
        return ListedHomes, (self._file, self._asked)

    def installation(self, number: int) -> Installation:
        """The truth about home `number`."""
        home = self._home(number)
        condition = _condition(home)
        behind = condition.device if condition is not None and condition.detail == "firmware" else None
        return Installation(
            number,
            home.active,
            home.combination,
            home.supplier,
            tuple(
                DeviceSpec(
                    kind,
                    device.model,
                    device.serial,
                    bytes.fromhex(device.title),
                    self.recipe.outdated[device.model] if kind is behind else device.firmware,
                    bytes.fromhex(device.eui64),
                )
                for kind, device in home.devices()
            ),
            home.mpan,
            home.mprn,
            Wiring(home.switches, home.tariff) if home.switches and home.tariff else None,
            condition,
            home.region,
        )

    def is_active(self, number: int) -> bool:
        """Is home `number` one of the active ones?"""
        return bool(self._active[number])

    def keys(self, number: int, party: Party) -> DeviceKeys | None:
        """The test keys listed for a device, or None; their `kek` is None where the list has no master key."""
        for kind, device in self._home(number).devices():
            if kind is party and device.ek is not None and device.ak is not None:
                kek = bytes.fromhex(device.kek) if device.kek is not None else None
                return DeviceKeys(bytes.fromhex(device.ek), bytes.fromhex(device.ak), kek)
        return None

    def label(self, number: int) -> str:
        """The installation id its owner gave."""
        return self._home(number).id

    def find(self, label: str) -> int | None:
        """The number of the home with this installation id; looks through the whole list."""
        return next((number for number in range(len(self._active)) if self._home(number).id == label), None)

    def digest(self) -> bytes:
        """Stands for the lines of all homes: 16 bytes. Reads the file."""
        digest = blake2b(digest_size=16)
        count = len(self._active) if self._asked is None else self._asked
        at, end = self._offsets[0], self._offsets[count]
        while at < end:
            piece = os.pread(self._descriptor, min(LINE_MOST, end - at), at)
            if not piece:
                break
            digest.update(piece)
            at += len(piece)
        return digest.digest()

    def _home(self, number: int) -> ListedHome:
        last = self._last
        if last is not None and last[0] == number:
            return last[1]
        begin, end = self._offsets[number], self._offsets[number + 1]
        home = _HOME.decode(os.pread(self._descriptor, end - begin, begin))
        self._last = (number, home)
        return home

    def _index(self) -> Header:
        """Read the file once: offsets, who is active, and every reason not to use it."""
        with os.fdopen(os.dup(self._descriptor), "rb") as stream:
            header = self._header(stream.readline(LINE_MOST))
            combinations = {each.name: each for each in header.recipe.combinations}
            at = stream.tell()
            for index, line in enumerate(iter(lambda: stream.readline(LINE_MOST), b"")):
                try:
                    home = _HOME.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise self._wrong(index + 2, str(error)) from error
                objection = _objection(home, header.recipe, combinations.keys())
                if objection:
                    raise self._wrong(index + 2, objection)
                self._offsets.append(at)
                self._active.append(home.active)
                at += len(line)
            self._offsets.append(at)
        if len(self._active) != header.homes or not 0 < header.homes <= HOMES_MOST:
            raise self._wrong(
                1, f"{header.homes} homes promised, {len(self._active)} found; the file was cut or edited"
            )
        return header

    def _header(self, line: bytes) -> Header:
        try:
            header = _HEADER.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._wrong(1, str(error)) from error
        if header.format != FORMAT or header.version != 1:
            raise self._wrong(1, f"format {header.format!r} version {header.version}; this reads {FORMAT} version 1")
        recipe_reading.check(header.recipe, f"{self._file}: line 1")
        return header

    def _wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self._file}: line {line}: {what}; import the list again (smets1 estate import)")


def _condition(home: ListedHome) -> Condition | None:
    if home.condition is None:
        return None
    parts = condition_parts(home.condition)
    assert parts is not None, "checked when the file was opened"
    kind = next(each for each in KINDS if each == parts[0])
    return Condition(kind, DEVICE_NAMES.get(parts[2]), parts[1])


def _objection(home: ListedHome, recipe: Recipe, combinations: Iterable[str]) -> str | None:
    """What a line's types cannot say."""
    if home.combination not in combinations:
        return f"combination: {home.combination!r} is not in line 1"
    if home.region not in DISTRIBUTORS:
        return f"region: there is no region {home.region!r}"
    if bool(home.switches) != (home.tariff is not None):
        return "switches and tariff: both or neither"
    if home.tariff is not None and home.tariff not in tariffs.tables():
        return f"tariff: there is no switching table {home.tariff!r}"
    if (home.gas is None) != (home.mprn is None):
        return "gas and mprn: both or neither"
    for kind, device in home.devices():
        if (device.ek is None) != (device.ak is None) or (device.kek is not None and device.ek is None):
            return f"{kind.name.lower()}: ek and ak: both or neither, and kek only with them"
        if device.model not in recipe.outdated:
            return f"{kind.name.lower()}.model: {device.model!r} is not under outdated in line 1"
    if home.condition is not None:
        parts = condition_parts(home.condition)
        if parts is None or (not parts[2] and parts[1] != "not-on-epcl"):
            return f"condition: {home.condition!r} is not family:detail:device"
        if parts[2] == "gas" and home.gas is None:
            return "condition: concerns gas, but the home has none"
    return None
