"""Recipes: the words in which an estate is described.

A recipe says shares and never lists: how many homes, which combinations of devices, how many five-terminal homes, how
often each thing is wrong. (A few homes may be spelled out under `[[homes]]`: the demo street does.) It fixes what must
not depend on the machine that runs it: the seed, the start, the size of a cell. The structs here refuse unknown keys
and values out of range; reading a file, and what types cannot say, is the business of `recipe_reading`.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from emulator.errors import InputError
from emulator.fleet import identity
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND, instant

CELL_MOST: Final = 4_096

Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0, description="a share of homes, 0 to 1")]
Weight: TypeAlias = Annotated[float, Meta(ge=0.0, description="relative weight; 0 is never chosen by chance")]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+/-]{0,63}(?!\n)$")]
Label: TypeAlias = Annotated[str, Meta(pattern=r"^[^\W_].{0,63}(?!\n)$", description="as people write it")]
Firmware: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}(?!\n)$")]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=identity.HOMES_MOST)]

SwitchCount: TypeAlias = Annotated[str, Meta(pattern=r"^[1-5](?!\n)$")]
KeyedName: TypeAlias = Annotated[str, Meta(pattern=r"^(hub|electricity|gas)(?!\n)$")]

DEVICE_NAMES: Final = {"hub": Party.HUB, "electricity": Party.ELECTRICITY, "gas": Party.GAS, "ihd": Party.IHD}

DETAILS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "MF1": {"no-master-key": ("hub", "electricity", "gas")},
    "MF2": {"no-wan": ("hub",)},
    "MF3": {"wan-lost": ("hub",)},
    "MF5": {"GT01": ("gas",)},
    "MF9": {
        "unknown-device": ("hub", "electricity", "gas"),
        "mpxn-mismatch": ("electricity", "gas"),
        "not-on-epcl": ("",),
        "inventory-conflict": ("electricity", "gas"),
    },
    "MF10": {
        "wrong-key": ("hub", "electricity", "gas"),
        "counter": ("hub", "electricity", "gas"),
        "firmware": ("hub", "electricity", "gas"),
        "configuration": ("electricity",),
    },
}
"""Failure family to its details, and to the devices each may concern ("": the home as a whole)."""


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are mistakes."""


class Model(_Strict, frozen=True, kw_only=True):
    """A device model by its registry name, with the firmware it should run."""

    model: Name
    firmware: Firmware


class Combination(_Strict, frozen=True, kw_only=True):
    """A device model combination. `auxiliary`: its electricity meter has a fifth terminal."""

    name: Name
    hub: Model
    electricity: Model
    gas: Model | None = None
    ihd: Model | None = None
    weight: Weight = 0.0
    auxiliary: bool = False

    def models(self) -> tuple[tuple[Party, Model], ...]:
        """The devices there are, in the order of `Party`."""
        all_four = ((Party.HUB, self.hub), (Party.ELECTRICITY, self.electricity), (Party.GAS, self.gas))
        return tuple((kind, model) for kind, model in (*all_four, (Party.IHD, self.ihd)) if model is not None)


class EpclEntry(_Strict, frozen=True, kw_only=True):
    """One line of the Eligible Products Combination List: a combination with a communications provider, from a date."""

    combination: Name
    provider: Name
    listed: date


class FiveTerminal(_Strict, frozen=True, kw_only=True):
    """Homes with auxiliary switches: their share, how many switches each has and which switching tables, weighted."""

    share: Share = 0.0
    switches: dict[SwitchCount, Weight] = field(default_factory=lambda: {"1": 1.0})
    tariffs: dict[Name, Weight] = field(default_factory=lambda: {"economy7": 1.0})


class Rate(_Strict, frozen=True, kw_only=True):
    """How often one failure family strikes active and dormant homes; weights of its details and devices."""

    active: Share = 0.0
    dormant: Share = 0.0
    details: dict[str, Weight] = field(default_factory=dict)
    devices: dict[KeyedName, Weight] = field(default_factory=dict)


class Conditions(_Strict, frozen=True, kw_only=True):
    """The failure families of an estate."""

    MF1: Rate = Rate()
    MF2: Rate = Rate()
    MF3: Rate = Rate()
    MF5: Rate = Rate()
    MF9: Rate = Rate()
    MF10: Rate = Rate()

    def rate(self, kind: str) -> Rate:
        """The rate of a family by its name."""
        found = getattr(self, kind)
        assert isinstance(found, Rate)
        return found


class WanLoss(_Strict, frozen=True, kw_only=True):
    """MF3: contact ends `after_s` seconds after the hub is first heard, which has to be before a fast home is through;
    for good, or for `lasts_h` hours."""

    after_s: tuple[int, int] = (1, 9)
    lasts_h: tuple[int, int] = (720, 1440)
    for_good: Share = 0.5


class Pacing(_Strict, frozen=True, kw_only=True):
    """Starts allowed a day: `first_per_day` for `first_days` days, then `per_day`."""

    first_per_day: Annotated[int, Meta(ge=1)] = 2_000
    first_days: Annotated[int, Meta(ge=0)] = 5
    per_day: Annotated[int, Meta(ge=1)] = 10_000


class Outage(_Strict, frozen=True, kw_only=True):
    """The link to the mobile operator is down for `seconds` from `at` on day `day` (the first is 0)."""

    day: Annotated[int, Meta(ge=0)]
    at: time
    seconds: Annotated[int, Meta(ge=1, le=86_400)] = 6


class Alerts(_Strict, frozen=True, kw_only=True):
    """What devices say by themselves: `per_day` alerts an installation on average (left out: none in a migration, 2.3
    where an estate is served; 0: none). `causes` is a table by its name, or a file."""

    per_day: Annotated[float, Meta(ge=0.0, le=10_000.0, description="alerts a day an installation")] | None = None
    causes: Annotated[str, Meta(min_length=1, max_length=4_096)] = "standard"


class PeerDeath(_Strict, frozen=True, kw_only=True):
    """A gateway of the IPsec link dies at `at` on day `day` and is back after `restart_s`; how long the outage is comes
    of the link's `core.ike` timers."""

    day: Annotated[int, Meta(ge=0)] = 0
    at: time
    end: Literal["operator", "data-centre"] = "operator"
    restart_s: Annotated[float, Meta(ge=0, le=86_400)] = 2


class CutOver(_Strict, frozen=True, kw_only=True):
    """From `at` on day `day` on the link is of another kind. `black_s`: nothing is carried for so long; 0: the new one
    is made before the old one is broken."""

    day: Annotated[int, Meta(ge=0)] = 0
    at: time
    to: Literal["ipsec", "mpls", "mpls-l3vpn"] = "mpls"
    black_s: Annotated[float, Meta(ge=0, le=86_400)] = 0


class Link(_Strict, frozen=True, kw_only=True):
    """The link: its default kind, its planned outages, deaths of its gateways, a cut-over to another kind; and settings
    of the core link and of the air, by their names in `link.profile.LinkProfile` and `link.air.AirProfile`."""

    kind: Literal["plain", "ipsec", "mpls", "mpls-l3vpn", "ipsec-standby", "mpls-standby"] = "ipsec"
    outages: tuple[Outage, ...] = ()
    peer_deaths: tuple[PeerDeath, ...] = ()
    cut_over: CutOver | None = None
    core: dict[str, Any] = field(default_factory=dict)
    air: dict[str, Any] = field(default_factory=dict)

    def windows(self, start: Instant) -> tuple[tuple[Instant, Instant], ...]:
        """The outages as (from, until), for a campaign whose day 0 begins at `start`."""
        found = []
        for outage in self.outages:
            at = outage.at
            begin = start + outage.day * DAY + at.hour * HOUR + at.minute * MINUTE + at.second * SECOND + at.microsecond
            found.append((begin, begin + outage.seconds * SECOND))
        return tuple(sorted(found))


class Registration(_Strict, frozen=True, kw_only=True):
    """What is wrong with what others hold on auxiliary load: shares of homes, all ASSUMED.

    `missing`: no standard settlement configuration is registered. `contradictory`: configuration, time patterns and
    profile class do not fit each other. `unregistered`: of homes with auxiliary load those registered with one rate;
    `overstated`: of homes without those registered with a switched rate. The `smso_` shares are gaps in the old
    operator's list of auxiliary load, which is another than its record of how a meter is configured: homes it has no
    entry for, those with two that differ, and of homes with auxiliary load those listed as having none.
    """

    missing: Share = 0.01
    contradictory: Share = 0.01
    unregistered: Share = 0.08
    overstated: Share = 0.02
    smso_missing: Share = 0.01
    smso_contradictory: Share = 0.005
    smso_unlisted: Share = 0.01


class Home(_Strict, frozen=True, kw_only=True):
    """A home spelled out; what it leaves out is drawn. `condition` is "family:detail" or "family:detail:device"."""

    combination: Name | None = None
    active: bool = True
    supplier: Label | None = None
    region: Name | None = None
    switches: Annotated[int, Meta(ge=0, le=5)] | None = None
    tariff: Name | None = None
    condition: str | None = None


class Recipe(_Strict, frozen=True, kw_only=True):
    """An estate's recipe."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,47}(?!\n)$", description="as on the command line")]
    title: Annotated[str, Meta(max_length=200)] = ""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    start: Annotated[datetime, Meta(tz=True, description="midnight GMT of day 0")] = datetime(2020, 3, 2, tzinfo=UTC)
    active: Count
    dormant: Count = 0
    cell: Annotated[int, Meta(ge=1, le=CELL_MOST, description="homes a cell")] = CELL_MOST
    provider: Name = "central-south"
    flag: Annotated[str, Meta(pattern=r"^[A-Z]{3}(?!\n)$", description="FLAG id, opens every system title")] = "ELS"
    eui64_prefix: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{6}(?!\n)$")] = "0A5351"
    regions: Annotated[dict[Name, Weight], Meta(min_length=1)]
    suppliers: Annotated[dict[Label, Weight], Meta(min_length=1)]
    combinations: Annotated[tuple[Combination, ...], Meta(min_length=1)]
    outdated: dict[Name, Firmware] = field(default_factory=dict)
    epcl: tuple[EpclEntry, ...] = ()
    five_terminal: FiveTerminal = FiveTerminal()
    conditions: Conditions = Conditions()
    wan_loss: WanLoss = WanLoss()
    pacing: Pacing = Pacing()
    link: Link = Link()
    alerts: Alerts = Alerts()
    registration: Registration = Registration()
    homes: tuple[Home, ...] = ()

    @property
    def installations(self) -> int:
        return self.active + self.dormant

    def combination(self, name: str) -> Combination | None:
        """The combination of that name."""
        return next((each for each in self.combinations if each.name == name), None)

    def scaled(self, installations: int) -> "Recipe":
        """The same mixture with another number of homes; at least one stays active. Raises InputError."""
        if not 1 <= installations <= identity.HOMES_MOST:
            raise InputError(f"{installations} installations; give 1 to {identity.HOMES_MOST:,}")
        homes = self.homes[:installations]
        least = max(sum(home.active for home in homes), 1 if self.active else 0)
        most = installations - sum(not home.active for home in homes)
        active = min(max(round(installations * self.active / self.installations), least), most)
        return msgspec.structs.replace(self, active=active, dormant=installations - active, homes=homes)

    def canonical(self) -> bytes:
        """All that this recipe says and a default does not, the same bytes for the same sayings."""
        return msgspec.json.encode(_said(self), order="sorted")

    def listed_from(self) -> dict[str, Instant]:
        """Combination name to the instant from which the estate's provider has it on the EPCL."""
        found: dict[str, Instant] = {}
        for entry in self.epcl:
            if entry.provider == self.provider:
                at = instant(datetime.combine(entry.listed, time(), UTC))
                found[entry.combination] = min(at, found.get(entry.combination, at))
        return found

    def unlisted(self) -> tuple[Combination, ...]:
        """The combinations not on the EPCL with the estate's provider when the campaign starts."""
        start = instant(self.start)
        since = self.listed_from()
        return tuple(each for each in self.combinations if since.get(each.name, start + 1) > start)


def _said(value: Any) -> Any:
    """Plain data without what stands at its default."""
    if isinstance(value, Struct):
        kept = {}
        for each in msgspec.structs.fields(value):
            said = getattr(value, each.name)
            default = each.default_factory() if each.default_factory is not msgspec.NODEFAULT else each.default
            if said != default:
                kept[each.encode_name] = _said(said)
        return kept
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    return {key: _said(item) for key, item in value.items()} if isinstance(value, dict) else value


def condition_parts(text: str) -> tuple[str, str, str] | None:
    """("MF10", "counter", "gas") of "MF10:counter:gas"; device "" when left out. None when there is no such thing."""
    kind, _, rest = text.partition(":")
    detail, _, device = rest.partition(":")
    allowed = DETAILS.get(kind, {}).get(detail)
    return (kind, detail, device) if allowed is not None and (not device or device in allowed) else None
