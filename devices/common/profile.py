"""A device model as data: the typed form of a TOML profile.

Every habit of a maker that data can say stands here, with its unit in its name or its description. Nearly nothing about
these makers is public, so every value is ASSUMED unless the profile names a source for it under `[stated]`; a user with
better knowledge changes the file and no code. A key that is not known, a value out of range, a statement about a field
that does not exist: one InputError that names file, field and cure.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from emulator import resources
from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, instant

Sap: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFF, description="wPort of the COSEM wrapper")]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=366 * 86_400, description="seconds")]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=86_400_000, description="milliseconds")]
Script: TypeAlias = Annotated[int, Meta(ge=1, le=0xFFFF, description="number of a script")]
TimeOfDay: TypeAlias = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", description="HH:MM")]
Percent: TypeAlias = Annotated[int, Meta(ge=0, le=100)]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are mistakes."""


class Identity(_Strict, frozen=True, kw_only=True):
    """Who made it. `flag` is the maker's three-letter FLAG id, the beginning of logical device names."""

    maker: str
    model: str
    flag: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class Addressing(_Strict, frozen=True, kw_only=True):
    """Where it is called, and where it calls.

    `sap` is its own logical device, `management` and `public` are clients, `push` the wPort alerts are sent to,
    `mirror` the logical device of a hub that shows the gas meter (0: none). `alerts` is the address alerts go to as
    found: the old operator's.
    """

    sap: Sap
    management: Sap = 1
    public: Sap = 16
    push: Sap = 103
    mirror: Sap = 0
    alerts: Annotated[str, Meta(pattern=r"^[0-9.]{7,15}:[0-9]{1,5}\Z")] = "10.255.0.1:4061"


class Security(_Strict, frozen=True, kw_only=True):
    """`policy` of class 64 version 1 is made of these: 0 none, 1 authenticated, 2 encrypted, 3 both.

    `bad_counter` and `bad_tag` say what becomes of such a request (devices.md 6: seen in the field are an exception
    that names the counter, silence, a closed association, a plain exception). `master_key_changes` is whether the
    master key can be changed over the air; `counter_reset` whether a new encryption key sets the counters back to 0.
    """

    mechanism: Literal["gmac", "low", "none"] = "gmac"
    suite: Annotated[int, Meta(ge=0, le=0)] = 0
    policy: Annotated[int, Meta(ge=0, le=3)] = 3
    bad_counter: Literal["exception", "silence", "close", "plain-exception"] = "exception"
    bad_tag: Literal["exception", "silence", "close", "plain-exception"] = "exception"
    master_key_changes: bool = True
    counter_reset: bool = False


class Keys(_Strict, frozen=True, kw_only=True):
    """How keys are kept without power, and how one is replaced by another. What a cut leaves: `key_slots`.

    `slots` for each key; `commit` "item" takes key after key into use, "array" all of a transfer by one flip (which
    needs two slots); `order` in which keys are written; `checksum` whether slots carry one that power up verifies;
    `on_corrupt` what becomes of a slot whose checksum fails: "other-slot" falls back to the other one where that is
    whole, "missing" does without this key, "locked" opens nothing ciphered any more. `transfer` "all-or-nothing" looks
    at every item before it takes one, "item" takes each up to the first bad one.

    `volatile_until_confirmed`: a new master key works from memory alone until a transfer under it arrives; when
    none does within `confirm_s`, or the mains go while it is in memory alone, then `unconfirmed` says what is left:
    "back" the old one, "lost" none. `write_ms` after the last transfer the slot of the master key has been rewritten in
    the background, by a task that waits for the device to be quiet for the first `write_idle_ms` of it. With one slot,
    a cut of the mains or another transfer between the two loses the key: the slot is erased by then, and the writer has
    one buffer, which any transfer takes, accepted or not.
    """

    slots: Annotated[int, Meta(ge=1, le=2)] = 2
    commit: Literal["array", "item"] = "array"
    order: tuple[Literal["ek", "broadcast", "ak", "kek"], ...] = ("ek", "broadcast", "ak", "kek")
    checksum: bool = True
    on_corrupt: Literal["locked", "missing", "other-slot"] = "other-slot"
    transfer: Literal["all-or-nothing", "item"] = "all-or-nothing"
    volatile_until_confirmed: bool = False
    confirm_s: Seconds = 900
    unconfirmed: Literal["back", "lost"] = "back"
    write_ms: Milliseconds = 0
    write_idle_ms: Milliseconds = 0


class Sizes(_Strict, frozen=True, kw_only=True):
    """How much it holds. Largest PDU in bytes; depths in days and in entries."""

    pdu: Annotated[int, Meta(ge=64, le=0xFFFF, description="bytes")] = 1_024
    half_hours_days: Annotated[int, Meta(ge=1, le=800, description="days")] = 395
    days: Annotated[int, Meta(ge=1, le=800, description="days")] = 395
    log_entries: Annotated[int, Meta(ge=1, le=1_000)] = 100
    image_block: Annotated[int, Meta(ge=16, le=1_024, description="bytes")] = 128
    image: Annotated[int, Meta(ge=1_024, le=1 << 24, description="bytes")] = 1 << 20


class ClockHabits(_Strict, frozen=True, kw_only=True):
    """What clock it is found with: set within the week after `last_set`, wrong and drifting by at most so much.

    `adjust_limit_s`: a setting that moves the clock by more is refused (0: no limit).
    """

    last_set: datetime
    offset_ms_most: Annotated[int, Meta(ge=0, le=600_000, description="milliseconds")] = 2_000
    drift_ppm_most: Annotated[int, Meta(ge=0, le=200, description="parts per million")] = 4
    adjust_limit_s: Seconds = 0

    @property
    def last_set_at(self) -> Instant:
        return instant(self.last_set)


class Birth(_Strict, frozen=True, kw_only=True):
    """When it was put on the wall: at a keyed day between these two. Registers begin at 0 there."""

    first: datetime
    last: datetime

    def day(self, luck: int) -> Instant:
        """The midnight that 64 bits of chance choose."""
        first = instant(self.first) // DAY
        return (first + luck % (instant(self.last) // DAY - first + 1)) * DAY


class Supply(_Strict, frozen=True, kw_only=True):
    """The supply switch or the gas valve. `scripts` of table 0-0:10.0.106; `mode` is class 70's control mode."""

    mode: Annotated[int, Meta(ge=0, le=7)] = 4
    enable: Script = 0x33
    disable: Script = 0x34
    arm: Script = 0x36
    after_power_up: Literal["keep", "ready"] = "keep"


class Auxiliary(_Strict, frozen=True, kw_only=True):
    """Auxiliary load switches (the fifth terminal).

    `switches` is how many the meter has; a home wires some of them. Scripts of table 0-0:10.0.103 are numbered
    `activate + n * step` and so on for switch n = 1..5. Durations in minutes stand in the objects 0-0:94.44.x.n; the
    three `*_duration` fields are their x, the `*_minutes` their defaults (0: until reset). `inverted`: the output is
    open when the switch is "on". `heater_w` is what hangs on each switch, watts. `after_power_up`: when the mains come
    back a hold goes on (keep), the calendar has the switch (calendar), or it stays off until its next switching time
    (off). `calendar`: switches follow the loaded tariff, as SMETS1 meters do, or a calendar of their own, found with
    `own_on` to `own_off`. `offset_most_s` is the randomised offset limit as found: each switch is late by a keyed part
    of it.
    """

    switches: Annotated[int, Meta(ge=0, le=5)] = 0
    activate: Script = 0x1011
    deactivate: Script = 0x0012
    reset: Script = 0x0020
    step: Script = 0x0100
    activate_duration: Annotated[int, Meta(ge=0, le=255)] = 117
    deactivate_duration: Annotated[int, Meta(ge=0, le=255)] = 119
    reset_duration: Annotated[int, Meta(ge=0, le=255)] = 121
    activate_minutes: Annotated[int, Meta(ge=0, le=1_440, description="minutes")] = 30
    deactivate_minutes: Annotated[int, Meta(ge=0, le=1_440, description="minutes")] = 30
    reset_minutes: Annotated[int, Meta(ge=0, le=1_440, description="minutes")] = 0
    duration_most: Annotated[int, Meta(ge=1, le=0xFFFF, description="minutes")] = 1_440
    inverted: bool = False
    heater_w: Annotated[int, Meta(ge=0, le=12_000, description="watts")] = 1_500
    after_power_up: Literal["keep", "calendar", "off"] = "keep"
    calendar: Literal["tariff", "own"] = "tariff"
    own_on: TimeOfDay = "00:00"
    own_off: TimeOfDay = "07:00"
    offset_most_s: Annotated[int, Meta(ge=0, le=1_799, description="seconds")] = 0


class Electricity(_Strict, frozen=True, kw_only=True):
    """An electricity meter. `rates` is how many tariff registers it shows; `tariff` what it is loaded with unless the
    home's wiring names a table."""

    rates: Annotated[int, Meta(ge=1, le=48)] = 8
    tariff: str = "single-rate"
    mean_day_wh: Annotated[int, Meta(ge=100, le=100_000, description="Wh")] = 8_500
    voltage_v: Annotated[int, Meta(ge=200, le=260, description="volts")] = 240


class Gas(_Strict, frozen=True, kw_only=True):
    """A gas meter. It hears only at its polls, one in `poll_s`, and for `awake_s` after each frame."""

    poll_s: Annotated[int, Meta(ge=1, le=86_400, description="seconds")] = 1_800
    awake_s: Annotated[int, Meta(ge=1, le=3_600, description="seconds")] = 60
    mean_day_dm3: Annotated[int, Meta(ge=1, le=100_000, description="dm3")] = 3_700
    calorific_value: Annotated[int, Meta(ge=300, le=450, description="0.1 MJ per m3")] = 394
    volume_correction: Annotated[int, Meta(ge=100_000, le=110_000, description="millionths")] = 102_264
    battery_years: Annotated[int, Meta(ge=1, le=30, description="years")] = 15


class Hub(_Strict, frozen=True, kw_only=True):
    """A communications hub: how it is woken and when it sleeps again.

    `sms_count` messages within `sms_window_s` wake it; it attaches within `attach_ms_least` .. `attach_ms_most`, and
    sleeps after `idle_s` without a frame, but waits `han_patience_s` beyond the moment at which a frame was due to
    reach a HAN device that has not answered yet. `electricity_sap` and `gas_sap` are the logical devices it forwards
    to.
    """

    electricity_sap: Sap = 2
    gas_sap: Sap = 3

    sms_count: Annotated[int, Meta(ge=1, le=5)] = 1
    sms_window_s: Seconds = 300
    attach_ms_least: Milliseconds = 500
    attach_ms_most: Milliseconds = 5_000
    idle_s: Annotated[int, Meta(ge=5, le=3_000, description="seconds")] = 600
    han_patience_s: Annotated[int, Meta(ge=1, le=600, description="seconds")] = 20
    receive_buffer: Annotated[int, Meta(ge=64, le=0xFFFF, description="bytes of one frame")] = 2_048


class Display(_Strict, frozen=True, kw_only=True):
    """An in-home display: after `stale_s` without an update it shows that it has lost the meter."""

    stale_s: Seconds = 300


_Section = TypeVar("_Section", bound=_Strict)


def needed(section: _Section | None) -> _Section:
    """The section of a profile's own kind, which `parse` has made sure of."""
    assert section is not None
    return section


_KINDS: Final = {"hub": Party.HUB, "electricity": Party.ELECTRICITY, "gas": Party.GAS, "ihd": Party.IHD}


class Profile(_Strict, frozen=True, kw_only=True):
    """One device model. Exactly the section of its own kind is given."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_]{0,63}\Z")]
    kind: Literal["hub", "electricity", "gas", "ihd"]
    title: str
    identity: Identity
    addressing: Addressing
    security: Security = field(default_factory=Security)
    keys: Keys = field(default_factory=Keys)
    sizes: Sizes = field(default_factory=Sizes)
    clock: ClockHabits
    birth: Birth
    supply: Supply = field(default_factory=Supply)
    auxiliary: Auxiliary = field(default_factory=Auxiliary)
    electricity: Electricity | None = None
    gas: Gas | None = None
    hub: Hub | None = None
    ihd: Display | None = None
    stated: Mapping[str, str] = field(default_factory=dict)
    """Dotted field -> the source that states its value. What is not listed is ASSUMED."""

    @property
    def party(self) -> Party:
        return _KINDS[self.kind]

    def source(self, path: str) -> str:
        """Where a field's value comes from: the source named under `[stated]`, else "ASSUMED"."""
        return self.stated.get(path, "ASSUMED")

    def __hash__(self) -> int:  # one object per file: identity is enough, and the mapping has no hash
        return id(self)


def parse(text: str, origin: str) -> Profile:
    """A profile from TOML text; `origin` names it in errors. Raises InputError."""
    try:
        document: Any = tomllib.loads(text)
        profile = msgspec.convert(document, Profile, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: {error}; put readable TOML there") from error
    except msgspec.ValidationError as error:
        raise InputError(
            f"{origin}: {error}; the fields and their ranges stand in devices/common/profile.py"
        ) from error
    for kind in _KINDS:
        given = getattr(profile, kind) is not None
        if given != (kind == profile.kind):
            raise InputError(
                f"{origin}: a profile of kind {profile.kind!r} has the section [{profile.kind}] and no other kind's"
            )
    for moment in (profile.clock.last_set, profile.birth.first, profile.birth.last):
        if moment.tzinfo is None:
            raise InputError(f"{origin}: {moment} has no time zone; write it as 2020-02-23T00:00:00Z")
    if profile.birth.last < profile.birth.first:
        raise InputError(f"{origin}: birth.last is before birth.first; swap them")
    if profile.hub is not None and profile.hub.attach_ms_most < profile.hub.attach_ms_least:
        raise InputError(f"{origin}: hub.attach_ms_most is below hub.attach_ms_least; swap them")
    _check_keys(profile.keys, origin)
    for path in profile.stated:
        _check_path(profile, path, origin)
    return profile


def _check_keys(keys: Keys, origin: str) -> None:
    if sorted(keys.order) != ["ak", "broadcast", "ek", "kek"]:
        raise InputError(f"{origin}: keys.order names each of ek, broadcast, ak and kek once; put the four there")
    if keys.slots == 1 and keys.commit == "array":
        raise InputError(f'{origin}: keys.commit "array" flips to spare slots; set keys.slots = 2, or commit = "item"')
    if keys.slots == 1 and keys.on_corrupt == "other-slot":
        raise InputError(
            f'{origin}: keys.on_corrupt "other-slot" needs keys.slots = 2; with one slot it is "missing" or "locked"'
        )
    if keys.write_idle_ms > keys.write_ms:
        raise InputError(f"{origin}: keys.write_idle_ms is part of keys.write_ms; it cannot be more")


def _check_path(profile: Profile, path: str, origin: str) -> None:
    at: Any = profile
    for part in path.split("."):
        if not isinstance(at, Struct) or part not in at.__struct_fields__:
            raise InputError(
                f'{origin}: [stated] speaks of {path!r}, which is no field; name one like "security.policy"'
            )
        at = getattr(at, part)


def read(file: Path) -> Profile:
    """A profile from a file. Raises InputError."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {error}; name a readable TOML profile") from error
    return parse(text, str(file))


_ANNOUNCED: Final[dict[str, Profile]] = {}


def announce(profile: Profile) -> None:
    """Make the profile of a model known by name: a hub asks how its gas meter sleeps."""
    _ANNOUNCED[profile.name] = profile


def find(name: str) -> Profile:
    """The profile announced under this name, else the one shipped. Raises InputError."""
    return _ANNOUNCED.get(name) or shipped(name)


@lru_cache(maxsize=64)
def shipped(name: str) -> Profile:
    """The profile that comes with the project under this name. Raises InputError."""
    profile = read(resources.fixture(f"profiles/{name}.toml"))
    if profile.name != name:
        raise InputError(f"profiles/{name}.toml calls itself {profile.name!r}; name and file go together")
    return profile
