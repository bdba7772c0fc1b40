"""A user's own list of homes, from CSV to an estate file.

A row is a home: who supplies it, its meter points, its devices with serials, system titles and firmware, its auxiliary
switches and tariff, test keys if it has any, and what should be wrong with it, if anything. What the list states is
what the old operator recorded; a condition says where the devices differ from it. A device listed with EK and AK but no
KEK is one whose master key nobody has (MF1). Values that nobody states (an EUI-64, keys) are derived.

Nothing is written unless every row is sound. Values of key cells never appear in a message.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from emulator.fleet import identity, listing, models, tariffs
from emulator.fleet.listing import ListedDevice, ListedHome
from emulator.fleet.recipe import (
    DETAILS,
    Combination,
    EpclEntry,
    FiveTerminal,
    Model,
    Recipe,
    condition_parts,
)
from emulator.fleet.table_reading import Mistakes, table

DEVICES: Final = ("hub", "electricity", "gas", "ihd")
_KEYED: Final = ("hub", "electricity", "gas")
_ALWAYS: Final = ("hub", "electricity")
_KEYS: Final = ("ek", "ak", "kek")
_DEVICE_CELLS: Final = ("model", "serial", "system_title", "firmware", "eui64")


def _columns() -> dict[str, bool]:
    columns = {"installation": True, "supplier": True, "active": True, "mpan": True, "mprn": False, "region": False}
    for device in DEVICES:
        for cell in _DEVICE_CELLS:
            columns[f"{device}_{cell}"] = device in _ALWAYS and cell != "eui64"
    columns |= {"switches": False, "tariff": False}
    columns |= {f"{device}_{key}": False for device in _KEYED for key in _KEYS}
    return columns | {"condition": False}


COLUMNS: Final = _columns()
"""Column to whether it must be there."""

_LABEL: Final = re.compile(r"[^\W_].{0,63}\Z")
_SERIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,31}\Z")
_FIRMWARE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")
_SCIENTIFIC: Final = re.compile(r"\d(\.\d+)?[eE]\+?\d+\Z")
_YES: Final = {"yes": True, "true": True, "1": True, "active": True}
_NO: Final = {"no": False, "false": False, "0": False, "dormant": False}
_OLD: Final = "00.00"

Complain = Callable[[str, str], None]


@dataclass(slots=True)
class Imported:
    """What an import came to."""

    recipe: Recipe
    lines: list[bytes] = field(repr=False)
    keys_listed: int = 0
    masters_missing: int = 0


def read(file: Path, name: str, start: datetime = datetime(2020, 3, 2, tzinfo=UTC), most: int = 100) -> Imported:
    """Read and check a whole list. Raises MistakesError with up to `most` mistakes by line, or InputError."""
    mistakes = Mistakes(file, most)
    reading = _Reading(mistakes)
    for line, cells in table(file, COLUMNS, mistakes):
        reading.row(line, cells)
    if not reading.homes and not mistakes.total:
        mistakes.add(1, "", "no homes below the column names; add a row for each")
    reading.settle()
    mistakes.finish()
    return reading.imported(file, name, start)


class _Reading:
    """One list being read: what was seen so far, for duplicates and combinations."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._seen: dict[str, dict[str, int]] = {}
        self._combinations: dict[tuple[tuple[str, str] | None, ...], str] = {}
        self._counts: Counter[str] = Counter()
        self._first_listed: dict[str, int] = {}
        self._first_unlisted: dict[str, int] = {}
        self._auxiliary: set[str] = set()
        self._regions: Counter[str] = Counter()
        self._suppliers: Counter[str] = Counter()
        self._active = 0
        self._keys = 0
        self._masters_missing = 0
        self.homes: list[bytes] = []

    def row(self, line: int, cells: Mapping[str, str]) -> None:
        """One home; its mistakes are collected, and it is kept when it has none."""
        before = self._mistakes.total

        def complain(column: str, text: str) -> None:
            self._mistakes.add(line, column, text)

        def once(column: str, value: str, kind: str = "") -> None:
            seen = self._seen.setdefault(kind or column, {})
            if value in seen:
                complain(column, f"{_shown(value)} stands in line {seen[value]} already; each is used once")
            else:
                seen[value] = line

        label = _label(cells["installation"], "installation", complain)
        if label:
            once("installation", label)
        supplier = _label(cells["supplier"], "supplier", complain)
        active = (_YES | _NO).get(cells["active"].lower())
        if active is None:
            complain("active", f"{_shown(cells['active'])}; write yes or no")
        mpan = self._mpan(cells, complain, once)
        region = self._region(cells, mpan, complain)
        devices = {kind: self._device(kind, cells, complain, once) for kind in DEVICES}
        mprn = self._mprn(cells, complain, once)
        switches, tariff = self._wiring(cells, complain)
        condition = self._condition(cells, switches, complain)
        if self._mistakes.total > before:
            return
        hub, electricity = devices["hub"], devices["electricity"]
        assert hub is not None and electricity is not None, "a missing one was complained about"  # noqa: PT018
        lacking = [kind for kind, each in devices.items() if each is not None and each.ek and not each.kek]
        if lacking and condition is None:
            condition = f"MF1:no-master-key:{lacking[0]}"
        home = ListedHome(
            label,
            bool(active),
            self._combination(line, devices, switches, condition),
            supplier,
            region,
            mpan,
            hub,
            electricity,
            mprn,
            devices["gas"],
            devices["ihd"],
            switches,
            tariff,
            condition,
        )
        self.homes.append(listing.encode(home))
        self._regions[region] += 1
        self._suppliers[supplier] += 1
        self._active += home.active
        self._keys += sum(each is not None and each.ek is not None for each in devices.values())
        self._masters_missing += len(lacking)

    def _mpan(self, cells: Mapping[str, str], complain: Complain, once: Callable[..., None]) -> str:
        mpan = cells["mpan"].replace(" ", "")
        if not identity.is_mpan(mpan):
            complain("mpan", _number_wrong(mpan, 13, 13, identity.mpan_check_digit, 1))
        else:
            once("mpan", mpan)
        return mpan

    def _mprn(self, cells: Mapping[str, str], complain: Complain, once: Callable[..., None]) -> str | None:
        mprn = cells.get("mprn", "").replace(" ", "")
        gas = any(cells.get(f"gas_{cell}") for cell in _DEVICE_CELLS)
        if not mprn:
            if gas:
                complain("mprn", "missing, but the home has a gas meter; add it")
            return None
        if not gas:
            complain("gas_model", "missing, but the home has an MPRN; add the gas meter or remove the MPRN")
        if not identity.is_mprn(mprn):
            complain("mprn", _number_wrong(mprn, 6, 10, identity.mprn_check_digits, 2))
        else:
            once("mprn", mprn)
        return mprn

    def _region(self, cells: Mapping[str, str], mpan: str, complain: Complain) -> str:
        region = cells.get("region", "").lower() or identity.REGIONS.get(mpan[:2], "")
        if region not in identity.DISTRIBUTORS and (region or identity.is_mpan(mpan)):
            what = _shown(region) if region else f"MPANs from {mpan[:2]!r} tell no region"
            complain("region", f"{what}; one of {', '.join(identity.DISTRIBUTORS)}")
        return region

    def _device(
        self, kind: str, cells: Mapping[str, str], complain: Complain, once: Callable[..., None]
    ) -> ListedDevice | None:
        given = {cell: cells.get(f"{kind}_{cell}", "") for cell in (*_DEVICE_CELLS, *_KEYS)}
        if not any(given.values()) and kind not in _ALWAYS:
            return None
        self._check_model(kind, given["model"], complain)
        for cell, pattern in (("serial", _SERIAL), ("firmware", _FIRMWARE)):
            if not pattern.match(given[cell]):
                complain(f"{kind}_{cell}", f"{_shown(given[cell])}; give 1 to 32 letters, digits, dots or dashes")
        if given["serial"]:
            once(f"{kind}_serial", given["serial"])
        title = self._hex(f"{kind}_system_title", given["system_title"], 16, complain)
        if not title and kind == "ihd":
            title = _derived("title", given["serial"], b"IHD")
        elif not given["system_title"]:
            complain(f"{kind}_system_title", "missing; give 16 hexadecimal digits, 8 bytes")
        eui64 = self._hex(f"{kind}_eui64", given["eui64"], 16, complain)
        if title:
            once(f"{kind}_system_title", title, "system_title")
            eui64 = eui64 or _derived("eui64", title, b"\x0aSQ")
            once(f"{kind}_eui64", eui64, "eui64")
        keys = {key: self._key(f"{kind}_{key}", given[key], complain) for key in _KEYS}
        if bool(given["ek"]) != bool(given["ak"]):
            complain(f"{kind}_{'ak' if given['ek'] else 'ek'}", "missing; give both EK and AK, or neither")
        elif given["kek"] and not given["ek"]:
            complain(f"{kind}_ek", "missing, but a KEK is given; give EK and AK with it")
        return ListedDevice(given["model"], given["serial"], given["firmware"], title, eui64, **keys)

    def _check_model(self, kind: str, model: str, complain: Complain) -> None:
        known = models.find(model)
        if known is not None and known.kind == kind:
            return
        of_kind = sorted(name for name, each in models.known().items() if each.kind == kind)
        near = difflib.get_close_matches(model, of_kind, 1) if known is None else []
        what = f"{_shown(model)} is no {kind} model" if model else "missing"
        complain(f"{kind}_model", f"{what}; {f'did you mean {near[0]}?' if near else 'one of ' + ', '.join(of_kind)}")

    def _hex(self, column: str, text: str, digits: int, complain: Complain) -> str:
        if not text:
            return ""
        plain = text.replace("-", "").replace(":", "").replace(" ", "").lower()
        if len(plain) != digits or any(each not in "0123456789abcdef" for each in plain):
            complain(column, f"{_shown(text)}; give {digits} hexadecimal digits, {digits // 2} bytes{_excel(text)}")
            return ""
        return plain

    def _key(self, column: str, text: str, complain: Complain) -> str | None:
        plain = text.replace(" ", "").lower()
        if plain and (len(plain) != 32 or any(each not in "0123456789abcdef" for each in plain)):
            complain(column, f"not a key ({len(plain)} characters); give 32 hexadecimal digits, 16 bytes")
        return plain or None

    def _wiring(self, cells: Mapping[str, str], complain: Complain) -> tuple[int, str | None]:
        text, tariff = cells.get("switches", ""), cells.get("tariff", "") or None
        if text not in ("", "0", "1", "2", "3", "4", "5"):
            complain("switches", f"{_shown(text)}; give 0 to 5")
            return 0, None
        switches = int(text or 0)
        known = models.find(cells["electricity_model"])
        if known is not None and known.kind == "electricity" and switches > known.switches:
            complain(
                "switches", f"{switches}, but {cells['electricity_model']} has {known.switches}; choose another model"
            )
        if switches and tariff is None:
            complain("tariff", "missing; auxiliary switches follow one; name a switching table")
        if tariff is not None and not switches:
            complain("switches", "missing, but a tariff is given; tariff names the auxiliary switches' table")
        if tariff is not None and (tariff not in tariffs.tables() or not tariffs.tables()[tariff].switched):
            able = ", ".join(name for name, each in tariffs.tables().items() if each.switched)
            complain("tariff", f"{_shown(tariff)} is no table that switches; one of {able}")
        return switches, tariff

    def _condition(self, cells: Mapping[str, str], switches: int, complain: Complain) -> str | None:
        text = cells.get("condition", "")
        if not text:
            return None
        parts = condition_parts(text)
        if parts is None:
            every = ", ".join(f"{kind}:{detail}" for kind, details in DETAILS.items() for detail in details)
            complain("condition", f"{_shown(text)}; one of {every}, with :hub, :electricity or :gas behind it")
            return None
        kind, detail, device = parts
        allowed = DETAILS[kind][detail]
        if not device and len(allowed) > 1:
            complain("condition", f"{text} of which device? write {' or '.join(f'{text}:{each}' for each in allowed)}")
        device = device or allowed[0]
        if device == "gas" and not cells.get("gas_model"):
            complain("condition", f"{text} concerns gas, but the home has none")
        if detail == "configuration" and not switches:
            complain("condition", f"{text} needs auxiliary switches, whose recorded tariff is then the wrong one")
        return f"{kind}:{detail}:{device}"

    def _combination(
        self, line: int, devices: Mapping[str, ListedDevice | None], switches: int, condition: str | None
    ) -> str:
        key = tuple((each.model, each.firmware) if each is not None else None for each in devices.values())
        name = self._combinations.setdefault(key, f"list-{len(self._combinations) + 1}")
        self._counts[name] += 1
        if switches:
            self._auxiliary.add(name)
        off = condition is not None and ":not-on-epcl" in condition
        (self._first_unlisted if off else self._first_listed).setdefault(name, line)
        return name

    def settle(self) -> None:
        """What only the whole list can tell: a combination is on the EPCL, or it is not."""
        for name, line in self._first_unlisted.items():
            other = self._first_listed.get(name)
            if other is not None:
                self._mistakes.add(
                    line,
                    "condition",
                    f"not-on-epcl, but line {other} has the same combination without it; give both the condition, "
                    "or this home other firmware",
                )

    def imported(self, file: Path, name: str, start: datetime) -> Imported:
        """The recipe behind the list, and its lines."""
        combinations = []
        used: set[str] = set()
        for key, called in self._combinations.items():
            hub, electricity, gas, ihd = (Model(model=each[0], firmware=each[1]) if each else None for each in key)
            assert hub is not None
            assert electricity is not None
            used |= {each[0] for each in key if each}
            combinations.append(
                Combination(
                    name=called,
                    hub=hub,
                    electricity=electricity,
                    gas=gas,
                    ihd=ihd,
                    weight=float(self._counts[called]),
                    auxiliary=called in self._auxiliary,
                )
            )
        switching = {each: 1.0 for each, body in tariffs.tables().items() if body.switched}
        recipe = Recipe(
            name=name,
            title=f"{len(self.homes):,} homes from {file.name}",
            start=start,
            active=self._active,
            dormant=len(self.homes) - self._active,
            regions={each: float(count) for each, count in sorted(self._regions.items())},
            suppliers={each: float(count) for each, count in sorted(self._suppliers.items())},
            combinations=tuple(combinations),
            outdated=dict.fromkeys(sorted(used), _OLD),
            epcl=tuple(
                EpclEntry(
                    combination=each.name, provider="central-south", listed=date(start.year, start.month, start.day)
                )
                for each in combinations
                if each.name not in self._first_unlisted
            ),
            five_terminal=FiveTerminal(tariffs=switching),
        )
        return Imported(recipe, self.homes, self._keys, self._masters_missing)


def _label(text: str, column: str, complain: Complain) -> str:
    if not _LABEL.match(text):
        complain(column, f"{_shown(text)}; give 1 to 64 characters, a letter or digit first")
    return text


def _number_wrong(text: str, least: int, most: int, check: Callable[[str], str], digits: int) -> str:
    """Why a meter point number is refused."""
    long = f"{least}" if least == most else f"{least} to {most}"
    if not (text.isascii() and text.isdigit() and least <= len(text) <= most):
        return f"{_shown(text)}; give {long} digits{_excel(text)}"
    wanted = check(text[:-digits])
    return f"{_shown(text)}: the check digit{'s' * (digits > 1)} should be {wanted}; copy the number again"


def _shown(text: str) -> str:
    """A cell in a message: short, and without anything a terminal would obey."""
    if not text:
        return "missing"
    return ascii(text if len(text) <= 40 else text[:37] + "...")


def _excel(text: str) -> str:
    return " (a spreadsheet has rounded it: make the column text)" if _SCIENTIFIC.match(text) else ""


def _derived(what: str, seed: str, prefix: bytes) -> str:
    return (prefix + blake2b(f"{what}|{seed}".encode(), digest_size=8 - len(prefix)).digest()).hex()
