"""Every wish a person or a program can have of a running estate, as a dataclass.

CLI verbs, pytest helpers, topics and routes are made from these: the verb is the class's name, the fields are the
body, and `scope` says what it is addressed to (a device of an installation, an installation, the estate). A field's
`Meta` holds its range and its unit; whoever takes a command from outside checks it by that. Bytes never travel here:
values of COSEM objects are written as tagged JSON (`{"long-unsigned": 30}`, `{"octet-string": "0a0b"}`,
`{"structure": [...]}`), and keys are no field of anything.

`Machine.command` receives those that touch the *physical* device (a button, a power cut). The others are the head
end's, the clock's, the journal's; `emulator/control` carries them out.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=31_536_000, description="seconds")]
Later = Annotated[float, Meta(ge=0, le=31_536_000, description="seconds from now")]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Switch = Annotated[int, Meta(ge=1, le=5, description="auxiliary switch, 1 to 5")]
Minutes = Annotated[int, Meta(ge=0, le=1_440, description="minutes")]
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$")]
ObjectName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description='an object by its name in the model ("clock"), or as "class/logical name" ("8/0-0:1.0.0")',
    ),
]
Attribute = Annotated[int, Meta(ge=-128, le=127, description="attribute number")]
JournalNumber = Annotated[int, Meta(ge=0, description="sequence number of the journal, from 1")]
DeviceName = Literal["hub", "electricity", "gas", "ihd"]


@dataclass(frozen=True, slots=True)
class Command:
    """Root of all commands. `scope` is what one is addressed to; `reads` says that it changes nothing."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "device"
    reads: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Query(Command):
    """A question: changes nothing and is answered at once."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "estate"
    reads: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class OverTheAir(Command):
    """What the emulator's own head end does with a device: a visit (message, link, hub, radio, the meter's own server)
    that takes virtual time and may fail."""


@dataclass(frozen=True, slots=True)
class Wish(Command):
    """Something to be done to the estate as a whole."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "estate"


@dataclass(frozen=True, slots=True)
class Inner(Command):
    """What the machinery around the devices lets happen to one; no wish of a person, and no door leads to it."""


# To the physical device


@dataclass(frozen=True, slots=True)
class PowerCut(Command):
    """Cut the mains of a device for `seconds`; volatile state (associations, timers) is lost."""

    seconds: Annotated[int, Meta(ge=1, le=31_536_000, description="seconds")] = 1


@dataclass(frozen=True, slots=True)
class PressBoost(Command):
    """Press the boost button of auxiliary switch `switch` (1 to 5) for `minutes`."""

    switch: Switch = 1
    minutes: Annotated[int, Meta(ge=1, le=1_440, description="minutes")] = 60


@dataclass(frozen=True, slots=True)
class PressReconnect(Command):
    """Press the button that closes an armed supply switch (or opens an armed gas valve)."""


@dataclass(frozen=True, slots=True)
class RaiseAlert(Command):
    """Let the device notice something and alert: `code` is the 16-bit alert code (for example 0x8F1D)."""

    code: Annotated[int, Meta(ge=0, le=0xFFFF, description="alert code")]
    text: Annotated[str, Meta(max_length=200)] = ""


@dataclass(frozen=True, slots=True)
class DropDevice(Command):
    """Let a device (not the hub) drop out of the home network, until it is restored."""


@dataclass(frozen=True, slots=True)
class RestoreDevice(Command):
    """Let a dropped device be back in the home network."""


# Over the air


@dataclass(frozen=True, slots=True)
class ReadObject(OverTheAir):
    """Read an attribute under keys."""

    what: ObjectName
    attribute: Attribute = 2


@dataclass(frozen=True, slots=True)
class WriteObject(OverTheAir):
    """Write an attribute. `value` is tagged: {"long-unsigned": 30}."""

    what: ObjectName
    value: Any
    attribute: Attribute = 2


@dataclass(frozen=True, slots=True)
class ActOnObject(OverTheAir):
    """Invoke a method, once. `value` is its parameter, tagged; null for none."""

    what: ObjectName
    method: Annotated[int, Meta(ge=-128, le=127, description="method number")] = 1
    value: Any = None


@dataclass(frozen=True, slots=True)
class SetSupply(OverTheAir):
    """Switch the supply relay or the gas valve: "on", "off", or "armed" (the customer's button closes it; only from
    off). Service requests 7.1, 7.2 and 7.3."""

    state: Literal["on", "off", "armed"]


@dataclass(frozen=True, slots=True)
class SetAuxiliary(OverTheAir):
    """Hold an auxiliary switch on or off for `minutes` (0: until reset), or give it back to the calendar. Service
    requests 7.5, 7.6 and 7.8."""

    switch: Switch
    state: Literal["on", "off", "calendar"]
    minutes: Minutes = 30


@dataclass(frozen=True, slots=True)
class RotateKeys(OverTheAir):
    """Change KEK, EK and AK, proven under the new ones; the answer names generations, never keys."""


@dataclass(frozen=True, slots=True)
class Heal(OverTheAir):
    """Carry out what `diagnose` proposes, command by command, and prove at the end that device and keepers agree."""


@dataclass(frozen=True, slots=True)
class Diagnose(Query):
    """Can this device be saved? Its class by the oracle, what is the matter, the shortest sequence of commands that
    heals it, or what a field engineer must do. Told from the truth of the device and its keepers; nothing is sent."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "device"


# To an installation


@dataclass(frozen=True, slots=True)
class ServiceRequest(OverTheAir):
    """A service request by its number ("7.5"), checked at the front and carried out as equivalent steps. `parameters`
    are the fields of its body: {"switch": 1, "minutes": 30}. Without `device` it goes to the one the service is for;
    `certificate` is the id that signed it, the notified one when none is given. It ends in one verdict: success, failed
    or timeout."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "home"
    service: Annotated[
        str, Meta(pattern="^[0-9]{1,2}(\\.[0-9]{1,2}){1,2}$", description="number of a service: 7.5, 1.1.1")
    ]
    parameters: dict[str, Any] = field(default_factory=dict)
    device: DeviceName | None = None
    role: Annotated[
        Literal["IS", "ES", "GS", "RSA", "ED", "GT", "OU"],
        Meta(description="the asker's role: import, export or gas supplier, agent, distributor, transporter, other"),
    ] = "IS"
    certificate: Annotated[str, Meta(max_length=150, description="serial number/issuer")] | None = None


@dataclass(frozen=True, slots=True)
class WakeUp(Command):
    """Send the hub short messages that ask it to come up and call back."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "home"
    messages: Annotated[int, Meta(ge=1, le=10, description="short messages")] = 1


@dataclass(frozen=True, slots=True)
class ResetHome(Command):
    """Put an installation back to how it was found: keys, registers, logs, counters."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "home"


@dataclass(frozen=True, slots=True)
class State(Query):
    """How an installation stands: devices, supply, auxiliary switches, tariff in force, counters and key epochs, home
    network, clock errors and logs. Never a key. Asked of the machines themselves, not over the air."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "home"
    log: Annotated[int, Meta(ge=0, le=1_000, description="newest log entries a device")] = 20


@dataclass(frozen=True, slots=True)
class Heating(Query):
    """How long each auxiliary switch of an installation stood otherwise than its right table says, from `since` (the
    estate's first midnight when none is given) until now. Told by the contacts themselves; nothing is sent."""

    scope: ClassVar[Literal["device", "home", "estate"]] = "home"
    since: Annotated[int, Meta(ge=0, description="µs since 1970")] | None = None


# To the estate


@dataclass(frozen=True, slots=True)
class Status(Query):
    """The estate at a glance: name, seed, size, virtual time, what is under way, what the link carried."""


@dataclass(frozen=True, slots=True)
class Installations(Query):
    """Installations and their devices, `count` from number `first` on."""

    first: Annotated[int, Meta(ge=0, description="installation")] = 0
    count: Annotated[int, Meta(ge=1, le=1_000)] = 100


@dataclass(frozen=True, slots=True)
class Journal(Query):
    """Journal entries after number `since`, oldest first. `kind` is a whole kind, or the beginning of one that ends in
    a dot ("relay.")."""

    since: JournalNumber = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    kind: str | None = None
    installation: Annotated[int, Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class Tasks(Query):
    """What takes or took virtual time, newest last."""


@dataclass(frozen=True, slots=True)
class Task(Query):
    """One task: how far it is, and its answer when it has ended."""

    task: Annotated[int, Meta(ge=1, description="number of the task")]


@dataclass(frozen=True, slots=True)
class CancelTask(Wish):
    """Give a task up. A conversation under way ends by itself; its outcome is no longer waited for."""

    task: Annotated[int, Meta(ge=1, description="number of the task")]


@dataclass(frozen=True, slots=True)
class Clock(Query):
    """Virtual time and how fast it passes."""


@dataclass(frozen=True, slots=True)
class StepClock(Wish):
    """Let `seconds` of virtual time pass as fast as the machine can; steps asked for together follow each other."""

    seconds: Seconds


@dataclass(frozen=True, slots=True)
class SetSpeed(Wish):
    """Virtual seconds that pass in a real one; 0 lets the clock stand."""

    speed: Annotated[float, Meta(ge=0, le=1_000_000, description="virtual seconds a real second")]


@dataclass(frozen=True, slots=True)
class FailLink(Wish):
    """The core link of every cell is black for `seconds` from now on."""

    seconds: Seconds = 6


@dataclass(frozen=True, slots=True)
class HealLink(Wish):
    """End every link failure that was asked for."""


@dataclass(frozen=True, slots=True)
class KillGateway(Wish):
    """A gateway of the IPsec link, the operator's or the data centre's, dies with everything it knew, now or `after_s`
    seconds from now, and is back after `seconds` without it: the other end has to find out. Where real gateways have
    tunnels to here it is the operator's end of these that dies."""

    seconds: Annotated[float, Meta(ge=0, le=86_400, description="seconds")] = 2
    after_s: Later = 0
    end: Literal["operator", "data-centre"] = "operator"


@dataclass(frozen=True, slots=True)
class CutOver(Wish):
    """Let everything cross another kind of core link from now on, or from `after_s` seconds from now, and nothing be
    lost; with `black_s` nothing is carried for so long in between. Tunnels from outside that belong to the kind before
    are closed."""

    kind: Annotated[str, Meta(min_length=1, max_length=32, description="a kind of link, such as mpls")] = "mpls"
    after_s: Later = 0
    black_s: Annotated[float, Meta(ge=0, le=86_400, description="seconds")] = 0


@dataclass(frozen=True, slots=True)
class LinkStatus(Query):
    """The core link: its kind, whether it is black, what crossed it and what was lost or refused; and the tunnels that
    lead here from outside, with their security associations. Never a key."""


@dataclass(frozen=True, slots=True)
class Migrate(Wish):
    """Migrate the served estate, or some installations of it, as a campaign does: test, change every key, prove it,
    commission; then audit. A task whose progress and ledger can be watched.

    `abreast` homes are under way at a time, each tried `attempts` times, `retry_s` apart. Nothing more is started once
    more than `stop_share` of the homes that ended (20 at least) failed.
    """

    installations: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=200_000)] | None = None
    abreast: Annotated[int, Meta(ge=1, le=10_000, description="homes at a time")] = 64
    attempts: Annotated[int, Meta(ge=1, le=20)] = 5
    retry_s: Annotated[int, Meta(ge=1, le=604_800, description="seconds")] = 14_400
    stop_share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    audit: bool = True


@dataclass(frozen=True, slots=True)
class Ledger(Query):
    """How migrations ended: verdict and cause of `count` installations from `first` on, and the sums over the
    estate's cells that were touched."""

    first: Annotated[int, Meta(ge=0, description="installation")] = 0
    count: Annotated[int, Meta(ge=1, le=1_000)] = 100


@dataclass(frozen=True, slots=True)
class Glance(Query):
    """The estate drawn small, for who watches it: how many homes stand how, cell by cell (and home by home up to 1,024
    homes), what came of packets and alerts, how far keys were changed. Tens of milliseconds for the largest estate."""


@dataclass(frozen=True, slots=True)
class Course(Query):
    """How migrations went over virtual time: how many homes had ended how, and why, by each of `points` instants."""

    points: Annotated[int, Meta(ge=2, le=500, description="instants, evenly spaced")] = 120


@dataclass(frozen=True, slots=True)
class ResetEstate(Wish):
    """Put everything back to how it was found. Snapshots stay; tasks are cancelled and faults cleared; virtual time
    and journal numbers go on."""


@dataclass(frozen=True, slots=True)
class TakeSnapshot(Wish):
    """Keep how everything stands now, in memory, under a name (8 at most; a name taken again is replaced)."""

    name: Name


@dataclass(frozen=True, slots=True)
class RestoreSnapshot(Wish):
    """Put everything back to a snapshot. Tasks are cancelled and faults cleared; virtual time goes on."""

    name: Name


@dataclass(frozen=True, slots=True)
class DropSnapshot(Wish):
    """Forget a snapshot."""

    name: Name


@dataclass(frozen=True, slots=True)
class Snapshots(Query):
    """The snapshots there are."""


@dataclass(frozen=True, slots=True)
class Services(Query):
    """Every service that can be requested: its number and name, the devices it is for, who may ask, whether it is
    critical, and the fields of its body."""


@dataclass(frozen=True, slots=True)
class FaultKinds(Query):
    """Every fault by name, with its fields, their ranges and units."""


@dataclass(frozen=True, slots=True)
class Faults(Query):
    """The faults that are in force."""


@dataclass(frozen=True, slots=True)
class InjectFault(Wish):
    """Put a fault in force; `settings` are the fields that `FaultKinds` shows for it."""

    fault: Annotated[str, Meta(min_length=1, max_length=64, description="a fault's name")]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClearFault(Wish):
    """End a fault."""

    number: Annotated[int, Meta(ge=1, description="number of a fault in force")]


@dataclass(frozen=True, slots=True)
class ClearFaults(Wish):
    """End every fault."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Entries that are expected: what they are like, and how many of them.

    `kind` as in `Journal`; `detail` compares item by item from the first on, null fitting anything, bytes as hex.
    """

    kind: Annotated[str, Meta(min_length=1, max_length=100)]
    installation: Annotated[int, Meta(ge=0)] | None = None
    device: Literal["headend", "hub", "electricity", "gas", "ihd"] | None = None
    detail: list[Any] | None = None
    at_least: Count = 1
    at_most: Count = 1


@dataclass(frozen=True, slots=True)
class Verify(Query):
    """Was it so? Expectations over the journal after number `since` up to now, each fulfilled by its own count.

    `ordered`: the entries of each expectation come after the last one of the expectation before. `only` names kinds of
    which nothing but the expected may have happened. The answer says what differs.
    """

    expect: Annotated[list[Expectation], Meta(max_length=1_000)]
    since: JournalNumber = 0
    ordered: bool = False
    only: Annotated[list[str], Meta(max_length=100)] = field(default_factory=list)


# The watch


@dataclass(frozen=True, slots=True)
class Violations(Query):
    """What clients did wrong, whatever the devices made of it: violations after number `since`, oldest first, of a kind
    and of an installation; and how many there are of each kind."""

    since: Annotated[int, Meta(ge=0, description="number of a violation, from 1")] = 0
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    kind: Annotated[str, Meta(max_length=64, description="a kind of violation")] | None = None
    installation: Annotated[int, Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class Checks(Query):
    """The standing checks over everything so far (counters never go back, every case ends in one verdict, no relay
    moves unasked, ...): what they find, empty when all holds. `only` names checks; none: all of them."""

    only: Annotated[list[str], Meta(max_length=32)] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ApproveCommand(Command):
    """Approve, as the second party (the DCO) does, that a head end sends a device commands of a supply-affecting
    service for `seconds` from now on. Without it such a command is listed as a violation."""

    service: Annotated[
        Literal["supply", "load-limit", "auxiliary", "keys"], Meta(description="supply-affecting service")
    ]
    seconds: Seconds = 120


# Alerts


@dataclass(frozen=True, slots=True)
class SetAlertRate(Wish):
    """Let every installation alert `per_day` times a day on average, by cause, from now on; 0: not at all."""

    per_day: Annotated[float, Meta(ge=0, le=10_000, description="alerts a day an installation")] = 2.3


@dataclass(frozen=True, slots=True)
class AlertStorm(Wish):
    """Let a cohort alert with one code, `factor` times as often as installations usually alert with all codes, for
    `seconds` from now on, on top of what else they do. The cohort is a `share` of all installations, or of those named,
    chosen by the seed. `device` is who alerts; null: whoever the table of causes says, else the electricity meter."""

    code: Annotated[int, Meta(ge=1, le=0xFFFF, description="alert code")]
    factor: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    seconds: Annotated[float, Meta(gt=0, le=2_592_000, description="seconds")] = 3_600
    installations: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=200_000)] | None = None
    share: Annotated[float, Meta(gt=0, le=1, description="a share of the cohort")] = 1.0
    device: Literal["hub", "electricity", "gas"] | None = None


@dataclass(frozen=True, slots=True)
class EndStorms(Wish):
    """End every alert storm now."""


@dataclass(frozen=True, slots=True)
class Alerts(Query):
    """Alerts so far, by cause: noticed by devices, heard by the head end, merged as repeats; how many came in the last
    hour and day; and the `newest` that were told."""

    newest: Annotated[int, Meta(ge=0, le=1_000)] = 20


# From what runs the estate


@dataclass(frozen=True, slots=True)
class Notice(Inner):
    """Let a device notice something: it writes it into a log (event, security, auxiliary, power; "": none) as `event`
    and alerts with `code` and `text`."""

    code: int
    text: str
    log: str = ""
    event: int = 0


@dataclass(frozen=True, slots=True)
class ComeUp(Inner):
    """Let a hub be reachable at once, without a short message or the time it takes to attach."""


@dataclass(frozen=True, slots=True)
class HangUp(Inner):
    """The transport below a client's associations has gone: the device forgets them, as after a power cut."""

    client_sap: int
