"""Scenarios: the words in which a trouble, what is done meanwhile, and what must come of it are described.

A scenario is an estate (or a few homes of it), campaigns one after another, the link, the faults in force, and checks;
then, if it says so, the healing: the faults are cleared, what is not well is tried anew, and everything must be
healthy, but for the exceptions it names. The same words hold in virtual time and live. The structs here refuse unknown
keys and values out of range; reading a file, and what types cannot say, is the business of `reading`.

A count is a number, or `[least, most]`.
"""

from datetime import time
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from emulator.fleet import recipe
from emulator.fleet.recipe import Firmware, Model, Name
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile

Number: TypeAlias = Annotated[int, Meta(ge=0, le=10_000_000)]
Count: TypeAlias = Number | Annotated[tuple[Number, ...], Meta(min_length=2, max_length=2)]
Hours: TypeAlias = Annotated[tuple[float, ...], Meta(min_length=2, max_length=2, description="[least, most] hours")]
Homes: TypeAlias = tuple[Annotated[int, Meta(ge=0, description="installation")], ...]
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
VerdictName: TypeAlias = Literal["migrated", "failed", "unrecoverable", "pending"]
KeyedName: TypeAlias = Literal["hub", "electricity", "gas"]
Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Kind: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are mistakes."""


# The estate


class Attached(Strict, frozen=True, kw_only=True):
    """Another combination of devices in a share of the homes that are drawn, on the list of eligible products from the
    start. `outdated`: what its devices run that were never brought up to date."""

    name: Name
    share: Annotated[float, Meta(gt=0, lt=1, description="share of homes")]
    hub: Model
    electricity: Model
    gas: Model | None = None
    ihd: Model | None = None
    auxiliary: bool = False
    outdated: dict[Name, Firmware] = field(default_factory=dict)


class EstateUse(Strict, frozen=True, kw_only=True):
    """Which estate, and what of it. `source` is a name or a file; `installations` scales it; `only` are the homes that
    take part, each with the luck and at the time it has among all; `conditions` false takes away what is wrong with
    its homes of itself; `cell` is how many homes share a link."""

    source: Annotated[str, Meta(min_length=1, max_length=4_096)] = "demo-street"
    installations: Annotated[int, Meta(ge=1)] | None = None
    only: Homes | None = None
    conditions: bool = True
    cell: Annotated[int, Meta(ge=1, le=4_096, description="homes a cell")] | None = None
    attach: tuple[Attached, ...] = ()


# What is done


class Campaign(Strict, frozen=True, kw_only=True, tag_field="kind"):
    """Root of the campaigns, which follow each other; each begins at the midnight after the one before has ended.

    What fails is tried `attempts` times, `retry_s` seconds apart."""

    attempts: Annotated[int, Meta(ge=1, le=20)] = 5
    retry_s: Annotated[int, Meta(ge=1, le=604_800, description="seconds")] = 14_400
    opens: Annotated[time, Meta(tz=False, description="first start of a day, GMT")] = time(6)
    open_s: Annotated[int, Meta(ge=1, le=86_400, description="seconds over which a day's starts are spread")] = 50_400


class Migrate(Campaign, frozen=True, kw_only=True, tag="migrate"):
    """Migrate the homes, then audit them. `per_day` starts a day (as the estate's pacing says, if left out); with
    `gate` the control centre slows and stops after bad days. `settings` are further ones of the campaign and its
    takeovers, by their names there."""

    per_day: Annotated[int, Meta(ge=1)] | None = None
    gate: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


class Rotate(Campaign, frozen=True, kw_only=True, tag="rotate"):
    """Change KEK, EK and AK of the homes' devices (once more), proven under the new ones."""

    devices: tuple[KeyedName, ...] = ("hub", "electricity", "gas")
    homes: Homes | None = None


class Wish(Strict, frozen=True, kw_only=True):
    """One thing that is done to a home: `after_s` seconds after the campaign's midnight.

    `request` is a service request by its reference ("7.5") with `arguments`, or `command` a person's wish of the
    device itself ("power-cut", "press-boost") with its fields as arguments."""

    home: Annotated[int, Meta(ge=0)]
    device: Literal["hub", "electricity", "gas", "ihd"] = "electricity"
    after_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 21_600
    request: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    command: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


class Requests(Campaign, frozen=True, kw_only=True, tag="requests"):
    """Wishes at their times. A home's follow each other when one takes longer than till the next. A request is not
    tried again, unless `attempts` says so: each try is a request of its own, with its own verdict."""

    attempts: Annotated[int, Meta(ge=1, le=20)] = 1

    wishes: Annotated[tuple[Wish, ...], Meta(min_length=1)]


class Evening(Campaign, frozen=True, kw_only=True, tag="evening"):
    """Switch every five-terminal home's auxiliary loads in one evening: "on" or "off" for `minutes`."""

    opens: Annotated[time, Meta(tz=False)] = time(17)
    open_s: Annotated[int, Meta(ge=1, le=86_400)] = 14_400
    attempts: Annotated[int, Meta(ge=1, le=20)] = 2
    retry_s: Annotated[int, Meta(ge=1, le=604_800)] = 1_200
    state: Literal["on", "off"] = "on"
    minutes: Annotated[int, Meta(ge=1, le=1_440)] = 60
    homes: Homes | None = None


class Pass(Strict, frozen=True, kw_only=True, tag_field="kind", tag="pass"):
    """Let time pass, whole days."""

    days: Annotated[int, Meta(ge=1, le=366)] = 1


Step: TypeAlias = Migrate | Rotate | Requests | Evening | Pass


class Outage(Strict, frozen=True, kw_only=True):
    """The core link is black for `seconds` from `at` on day `day` (the first is 0)."""

    day: Annotated[int, Meta(ge=0)] = 0
    at: time
    seconds: Annotated[int, Meta(ge=1, le=86_400)] = 6


class PeerDeath(recipe.PeerDeath, frozen=True, kw_only=True):
    """The same as in a recipe. With `campaign` its day counts from the beginning of that one (0 is the first)."""

    campaign: Annotated[int, Meta(ge=0)] | None = None


class CutOver(recipe.CutOver, frozen=True, kw_only=True):
    """The same as in a recipe. With `campaign` its day counts from the beginning of that one (0 is the first)."""

    campaign: Annotated[int, Meta(ge=0)] | None = None


class LinkUse(Strict, frozen=True, kw_only=True):
    """The link, as an estate's recipe says it: what is left out here is the estate's, and `core` and `air` are laid
    over its settings."""

    kind: Literal["plain", "ipsec", "mpls", "mpls-l3vpn", "ipsec-standby", "mpls-standby"] | None = None
    outages: tuple[Outage, ...] | None = None
    peer_deaths: tuple[PeerDeath, ...] = ()
    cut_over: CutOver | None = None
    core: dict[str, Any] = field(default_factory=dict)
    air: dict[str, Any] = field(default_factory=dict)


AIR_FIELDS = tuple(AirProfile.__dataclass_fields__)
CORE_FIELDS = tuple(
    name for name in LinkProfile.__dataclass_fields__ if name not in ("outages", "peer_deaths", "cut_over")
)


# What must come of it


class Check(Strict, frozen=True, kw_only=True, tag_field="check"):
    """Root of the checks. `at` is when it is looked at: after the trouble, or at the end (after the healing, if
    there is one)."""

    at: Literal["trouble", "end"] = "trouble"


class Verdicts(Check, frozen=True, kw_only=True, tag="verdicts"):
    """How many homes ended how; what is left out may be anything. `cause` counts only those of a cause; `homes` only
    these."""

    migrated: Count | None = None
    failed: Count | None = None
    unrecoverable: Count | None = None
    pending: Count | None = None
    audited: Count | None = None
    cause: str | None = None
    homes: Homes | None = None


class Fired(Check, frozen=True, kw_only=True, tag="fired"):
    """How often a fault struck, all homes together. (That each did at least once is checked without asking, unless it
    `may_stay_quiet`.)"""

    fault: Annotated[str, Meta(min_length=1)]
    count: Count


class Notes(Check, frozen=True, kw_only=True, tag="notes"):
    """How many notes of a kind the journal holds; "relay." takes all that begin so. Packets that the core link lost are
    counted as notes of the kinds "link.lost.outage", "link.lost.loss" and so on."""

    kind: Kind
    count: Count


class Requested(Check, frozen=True, kw_only=True, tag="requested"):
    """How many wishes, rotations and switchings were done, refused, or not answered."""

    done: Count | None = None
    failed: Count | None = None


class Alerts(Check, frozen=True, kw_only=True, tag="alerts"):
    """How many alerts the head end heard."""

    count: Count


class Oracle(Check, frozen=True, kw_only=True, tag="oracle"):
    """How many keyed devices are in which class by the oracle. `homes`: only these; else those that were not migrated,
    and a `sample` of the others. `agrees`: the verdicts must bear the oracle out: a home is given up as unrecoverable
    only where a device of it cannot be given keys any more, and every device of a migrated home is healthy."""

    homes: Homes | None = None
    sample: Annotated[int, Meta(ge=0, le=100_000)] = 20
    healthy: Count | None = None
    recoverable: Count | None = None
    reads_only: Count | None = None
    unrecoverable: Count | None = None
    agrees: bool = True


class Harm(Check, frozen=True, kw_only=True, tag="harm"):
    """Heating by auxiliary switches, from the first midnight to the moment looked at: how many homes were cold (hours
    enough lost on a switch, see `dcc/auxiliary_harm`), hours lost and gained, all switches together."""

    cold: Count | None = None
    lost_h: Hours | None = None
    gained_h: Hours | None = None


class Standing(Check, frozen=True, kw_only=True, tag="standing"):
    """A standing check by name, turned off: all others are made without asking."""

    name: Name
    on: bool = True


AnyCheck: TypeAlias = Verdicts | Fired | Notes | Requested | Alerts | Oracle | Harm | Standing


class Exempt(Strict, frozen=True, kw_only=True):
    """Homes that may end otherwise than healthy: these, or any; with this verdict and cause, or any; so many at
    most (each, if left out)."""

    homes: Homes | None = None
    verdict: VerdictName | None = None
    cause: str | None = None
    most: Number | None = None


class Healing(Strict, frozen=True, kw_only=True):
    """After the trouble: faults are cleared but for those of these names (`keep`); with `oracle` what can be saved by
    its lights is saved by the commands it proposes; what is not migrated is tried anew. Then every home must be
    migrated and audited, but for exceptions."""

    keep: tuple[str, ...] = ()
    oracle: bool = False
    campaign: Migrate = Migrate()
    exempt: tuple[Exempt, ...] = ()


class Scenario(Strict, frozen=True, kw_only=True):
    """A scenario. `seed`: under which it is run when nobody says (none: the estate's own). `faults` are read by the
    catalogue of faults; each is its name (`fault`), its settings, and what `faultlist.Planned` says beside."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}(?!\n)$", description="as on the command line")]
    title: Annotated[str, Meta(max_length=200)] = ""
    about: Annotated[str, Meta(max_length=4_000)] = ""
    seed: Seed | None = None
    estate: EstateUse = EstateUse()
    link: LinkUse = LinkUse()
    campaigns: tuple[Step, ...] = (Migrate(),)
    faults: tuple[dict[str, Any], ...] = ()
    checks: tuple[AnyCheck, ...] = ()
    healing: Healing | None = None


def least(count: Count) -> int:
    """The least a count allows."""
    return count[0] if isinstance(count, tuple) else count


def most(count: Count) -> int:
    """The most a count allows."""
    return count[1] if isinstance(count, tuple) else count
