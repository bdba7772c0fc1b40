"""Whole characters of links, by name: a preset is a file of impairments, and perhaps of modes that take turns.

    title = "..."
    about = "..."
    [[impairments]]                # an entry as in a scenario's [[faults]]: a name of the catalogue and its settings
    fault = "link-rate"
    [[modes]]                      # from the first one on; of each home's bearer, or of each cell's core link
    name = "good"
    seconds = 240                  # how long it lasts: exactly, or with spread = 1 on average
    spread = 1.0
    following = { bad = 1.0 }      # by weight; without any it never ends
    [[modes.impairments]]
    fault = "link-loss"

Those that come with the emulator are `fixtures/impairments/*.toml`; a path that ends in .toml is a file of one's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from emulator.errors import InputError
from emulator.faults.fault import Fault, Point, Seconds
from emulator.faults.link_impairment import LINK, LinkImpairment, refuse_device
from emulator.resources import fixture, list_fixtures

FOLDER: Final = "impairments"


class _Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    seconds: Seconds = 60
    spread: Annotated[float, Meta(ge=0, le=1)] = 0.0
    following: dict[str, Annotated[float, Meta(ge=0)]] = {}
    impairments: tuple[dict[str, Any], ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    about: str = ""
    impairments: tuple[dict[str, Any], ...] = ()
    modes: tuple[_Mode, ...] = ()


@dataclass(frozen=True, slots=True)
class PresetMode:
    """One mode. `spread` from 0 (exactly so long) to 1 (exponentially distributed around `seconds`)."""

    name: str
    seconds: float
    spread: float
    following: Mapping[str, float]
    impairments: tuple[LinkImpairment, ...]


@dataclass(frozen=True, slots=True)
class Preset:
    """What a file says. `impairments` are always in force, in order; `modes` take turns behind them."""

    title: str
    about: str
    impairments: tuple[LinkImpairment, ...]
    modes: tuple[PresetMode, ...]


def names() -> list[str]:
    """The presets that come with the emulator."""
    return [Path(name).stem for name in list_fixtures(FOLDER, ".toml")]


@lru_cache(maxsize=64)
def preset(name: str) -> Preset:
    """The preset of that name, or in that file. Raises InputError."""
    if name.endswith(".toml"):
        path = Path(name)
    elif name in names():
        path = fixture(f"{FOLDER}/{name}.toml")
    else:
        raise InputError(
            f"there is no preset {name[:64]!r}; give one of {', '.join(names())}, or a file ending in .toml"
        )
    try:
        file = msgspec.convert(loads(path.read_text("utf-8")), _File)
    except OSError as error:
        raise InputError(f"cannot read the preset {path}: {error.strerror or error}") from error
    except (TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"preset {path}: {error}; see the presets that come with the emulator") from error
    known = {mode.name for mode in file.modes}
    for mode in file.modes:
        place = f"preset {path}: mode {mode.name!r}"
        if len(known) != len(file.modes):
            raise InputError(f"{place}: two modes have one name; give each its own")
        if strange := sorted(set(mode.following) - known):
            raise InputError(f"{place}: there is no mode {strange[0]!r} to follow; one of {', '.join(sorted(known))}")
        if mode.following and not sum(mode.following.values()):
            raise InputError(f"{place}: all that may follow has the weight 0; give one more")
    modes = tuple(
        PresetMode(
            mode.name,
            mode.seconds,
            mode.spread,
            mode.following,
            _impairments(mode.impairments, f"preset {path}: mode {mode.name}, [[modes.impairments]]"),
        )
        for mode in file.modes
    )
    return Preset(file.title, file.about, _impairments(file.impairments, f"preset {path}: [[impairments]]"), modes)


def _impairments(entries: tuple[dict[str, Any], ...], where: str) -> tuple[LinkImpairment, ...]:
    from emulator.faults import catalogue  # which holds the fault that is made of presets

    usual = {"installation", "share", "after_s", "seconds", "skip", "times", "chance"}
    found = []
    for number, (entry, fault) in enumerate(zip(entries, catalogue.read_table(entries, where), strict=True), 1):
        if not isinstance(fault, LinkImpairment) or fault.name == "link-nat":
            raise InputError(
                f"{where} {number}: {fault.name} cannot be a part of a preset; name one that impairs a link"
            )
        if strange := sorted(usual & set(entry)):
            raise InputError(f"{where} {number}: {strange[0]} is said of the preset as a whole; leave it out here")
        found.append(fault)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPreset(Fault):
    """A link has the character of a preset: bandwidth, latency, loss, the delay of short messages, good times and bad
    ones. One of those that come with the emulator (gprs, edge, 3g, ipsec, mpls), or a file ending in .toml."""

    name: ClassVar[str] = "link-preset"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = LINK
    files: ClassVar[frozenset[str]] = frozenset({"preset"})
    example: ClassVar[dict[str, Any]] = {"preset": "gprs"}

    preset: str = "gprs"

    def __post_init__(self) -> None:
        refuse_device(self)
        try:
            preset(self.preset)
        except InputError as error:
            raise ValueError(str(error)) from None


FAULTS: tuple[type[Fault], ...] = (LinkPreset,)
