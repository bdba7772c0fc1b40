"""The meter the tests talk to: every interface class once, physics of a few lines, and a head end beside it."""

from typing import Any

from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, double_long_unsigned, integer, octet_string, unsigned, visible_string
from emulator.codecs.get import AttributeRef, SelectiveAccess
from emulator.crypto.keys import ContextStore
from emulator.dlms import moment
from emulator.dlms.access import EVERYTHING, AccessTable, Rule
from emulator.dlms.association import ClientProfile
from emulator.dlms.classes import (
    ActivityCalendar,
    AssociationLN,
    Clock,
    DataObject,
    DisconnectControl,
    ExtendedRegister,
    ImageTransfer,
    ProfileGeneric,
    PushSetup,
    Register,
    RegisterActivation,
    SapAssignment,
    Schedule,
    ScriptTable,
    SecuritySetup,
    SingleActionSchedule,
    SpecialDays,
)
from emulator.dlms.classes.activity_calendar import Calendar
from emulator.dlms.classes.image_transfer import Image, ImageInfo, image_digest
from emulator.dlms.classes.push_setup import UDP, Column, Destination
from emulator.dlms.classes.register import Unit
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.classes.script_table import EXECUTE, WRITE, Script, ScriptAction
from emulator.dlms.client import MANAGEMENT, Answer, Client, More, Outcome, Profile, Refused
from emulator.dlms.cosem import DEDICATED, computed, constant, obis, stored
from emulator.dlms.server import Server, ServerProfile
from emulator.dlms.tree import ObjectTree
from emulator.kernel.time import DAY, HOUR, MINUTE

NOW = 1_583_150_400_000_000  # 2020-03-02T12:00:00Z, a Monday
BORN = NOW - 400 * DAY

EK = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
AK = bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF")
KEK = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
METER_TITLE = bytes.fromhex("4D4D4D0000BC614E")
CLIENT_TITLE = bytes.fromhex("4D4D4D0000000001")
PASSWORD = b"12345678"
CTOS = b"K56iVagY"

PUBLIC_SAP, MANAGEMENT_SAP, READER_SAP, PLAIN_HLS_SAP, SHA_SAP = 16, 1, 2, 3, 4

CLOCK = obis("0-0:1.0.0")
NAME = obis("0-0:42.0.0")
SETTING = obis("0-0:94.44.117")
ENERGY = obis("1-0:1.8.0")
SLOW = obis("1-0:1.7.0")
DEMAND = obis("1-0:1.6.0")
TARIFF_REGISTERS = obis("0-0:14.0.0")
LOAD_PROFILE = obis("1-0:99.1.0")
BILLING = obis("0-0:98.1.0")
EVENTS = obis("0-0:99.98.0")
MANUAL = obis("0-0:99.2.0")
SUPPLY_SCRIPTS = obis("0-0:10.0.106")
TARIFF_SCRIPTS = obis("0-0:10.0.100")
SCHEDULE = obis("0-0:12.0.0")
SPECIAL_DAYS = obis("0-0:11.0.0")
SAPS = obis("0-0:41.0.0")
IMAGE = obis("0-0:44.0.0")
CALENDAR = obis("0-0:13.0.0")
SINGLE_ACTION = obis("0-0:15.0.1")
PUSH = obis("0-0:25.9.0")
SECURITY = obis("0-0:43.0.0")
SECURITY_V1 = obis("0-0:43.0.1")
SUPPLY = obis("0-0:96.3.10")
COUNTER = obis("0-0:43.1.0")
LONG_TEXT = obis("0-0:96.13.0")
CURRENT = obis("0-0:40.0.0")

FIRMWARE = bytes(range(256)) * 3 + b"the end"
BAD_FIRMWARE = FIRMWARE[:-1] + b"D"
BLOCK_SIZE = 100

CALENDAR_AT_FIRST = Calendar(
    b"two rate",
    ((b"all", bytes.fromhex("FFFF0101FF000000FF800000"), b"week"),),
    ((b"week", (1, 1, 1, 1, 1, 2, 2)),),
    (
        (1, ((bytes((0, 0, 0, 0)), TARIFF_SCRIPTS, 2), (bytes((7, 0, 0, 0)), TARIFF_SCRIPTS, 1))),
        (2, ((bytes((0, 0, 0, 0)), TARIFF_SCRIPTS, 2), (bytes((9, 30, 0, 0)), TARIFF_SCRIPTS, 1))),
        (3, ((bytes((0, 0, 0, 0)), TARIFF_SCRIPTS, 2),)),
    ),
)
CALENDAR_PASSIVE = Calendar(
    b"one rate",
    ((b"all", bytes.fromhex("FFFF0101FF000000FF800000"), b"week"),),
    ((b"week", (1,) * 7),),
    ((1, ((bytes(4), TARIFF_SCRIPTS, 1),)),),
)


def at_noon(hours: int) -> bytes:
    """The 12 bytes of NOW and so many hours."""
    return moment.encode(NOW + hours * HOUR)


def energy(device: "Meter", at: int) -> Data:
    """One watt-hour a minute since the meter was born."""
    return double_long_unsigned((at - BORN) // MINUTE)


def _verify(device: "Meter", image: Image, now: int) -> ImageInfo | None:
    good = image.digest == image_digest(FIRMWARE, BLOCK_SIZE) and image.size == len(FIRMWARE)
    return ImageInfo(image.size, image.identifier, b"signed") if good else None


def _activate(device: "Meter", image: Image, now: int) -> bool:
    device.running = image.identifier
    return True


def _move(device: "Meter", state: int, cause: Any, now: int) -> None:
    if device.welded:
        from emulator.codecs.action import ActionResult
        from emulator.dlms.cosem import ActionRefused

        raise ActionRefused(ActionResult.HARDWARE_FAULT, "welded")
    device.contact = state == 1
    device.moves.append((state, cause.value))


def objects() -> tuple[list[Any], dict[str, Any]]:
    clock = Clock(drift=lambda device, now: device.drift_ppm * (now - BORN) // 1_000_000)
    special = SpecialDays(name="special days")
    names: dict[str, Any] = {"clock": clock, "special": special}

    def scripts_for(number: int, method: int) -> Script:
        return Script(number, (ScriptAction(EXECUTE, 70, SUPPLY, method, integer(0)),))

    items = [
        DataObject(NAME, constant(octet_string(b"ELS0000000012345")), name="name"),
        DataObject(SETTING, stored(unsigned(30)), name="setting"),
        DataObject(
            COUNTER, computed(lambda device, now: double_long_unsigned(device.store.counters(0)[1])), name="counter"
        ),
        DataObject(LONG_TEXT, stored(visible_string(""), lambda data: data.tag == 10), name="long text"),
        Register(ENERGY, computed(energy), 0, Unit.WATT_HOUR, name="energy"),
        Register(SLOW, stored(double_long_unsigned(5)), -1, Unit.WATT, name="power"),
        ExtendedRegister(
            DEMAND,
            stored(double_long_unsigned(0)),
            0,
            Unit.WATT,
            status=constant(unsigned(0)),
            capture_time=constant(octet_string(bytes(12))),
            reset=lambda device, now: device.moves.append(("reset", now)),
            name="demand",
        ),
        RegisterActivation(
            TARIFF_REGISTERS, [(3, ENERGY), (3, SLOW)], [(b"day", (1,)), (b"both", (1, 2))], b"day", name="activation"
        ),
        ProfileGeneric(
            LOAD_PROFILE,
            [Column(8, CLOCK, 2), Column(3, ENERGY, 2)],
            entries=480,
            period_s=1800,
            clock=clock,
            since=lambda device: BORN,
            name="load profile",
        ),
        ProfileGeneric(
            BILLING,
            [Column(8, CLOCK, 2), Column(3, ENERGY, 2)],
            entries=12,
            clock=clock,
            times=lambda device, now: [BORN + n * 30 * DAY for n in range(1, (now - BORN) // (30 * DAY) + 1)],
            row=lambda device, at, stamp: (stamp, energy(device, at)),
            name="billing",
        ),
        ProfileGeneric(
            EVENTS,
            [Column(8, CLOCK, 2), Column(1, SETTING, 2)],
            entries=10,
            clock=clock,
            log=lambda device, now: device.log,
            name="events",
        ),
        ProfileGeneric(MANUAL, [Column(3, ENERGY, 2), Column(3, SLOW, 3, 2)], entries=3, clock=clock, name="manual"),
        clock,
        ScriptTable(
            SUPPLY_SCRIPTS,
            [
                scripts_for(1, 1),
                scripts_for(2, 2),
                Script(
                    3,
                    (ScriptAction(WRITE, 1, SETTING, 2, unsigned(7)), ScriptAction(EXECUTE, 70, SUPPLY, 9, integer(0))),
                ),
                Script(4, (ScriptAction(EXECUTE, 9, SUPPLY_SCRIPTS, 1, Data(18, 4)),)),
                Script(5, (ScriptAction(WRITE, 1, obis("0-0:1.1.1"), 2, unsigned(7)),)),
            ],
            name="supply scripts",
        ),
        ScriptTable(
            TARIFF_SCRIPTS,
            [Script(n, (ScriptAction(WRITE, 1, SETTING, 2, unsigned(100 + n)),)) for n in (1, 2)],
            name="tariff scripts",
        ),
        Schedule(
            SCHEDULE,
            [
                Entry(1, True, SUPPLY_SCRIPTS, 1, bytes((13, 0, 0, 0)), "1111100"),
                Entry(2, False, SUPPLY_SCRIPTS, 2, bytes((14, 0, 0, 0))),
            ],
            clock=clock,
            special_days=special,
            name="schedule",
        ),
        special,
        SapAssignment([(1, b"METER"), (4, b"MIRROR")], name="saps"),
        ImageTransfer(verify=_verify, activate=_activate, block_size=BLOCK_SIZE, activate_s=20, name="image"),
        ActivityCalendar(
            CALENDAR,
            CALENDAR_AT_FIRST,
            CALENDAR_PASSIVE,
            clock=clock,
            special_days=special,
            activated=lambda device, at: device.moves.append(("calendar", at)),
            name="calendar",
        ),
        SingleActionSchedule(SINGLE_ACTION, (SUPPLY_SCRIPTS, 2), clock=clock, name="single action"),
        PushSetup(
            PUSH,
            [Column(1, NAME, 2), Column(3, ENERGY, 2)],
            Destination(UDP, b"10.0.0.9:4061"),
            clock=clock,
            name="push",
        ),
        SecuritySetup(SECURITY, policy=3, name="security"),
        SecuritySetup(SECURITY_V1, policy=0, version=1, client_sap=PLAIN_HLS_SAP, name="security plain"),
        DisconnectControl(
            SUPPLY,
            mode=4,
            output=computed(lambda device, now: Data(3, device.contact)),
            move=_move,
            name="supply",
        ),
    ]
    items += _associations()
    return items, names


def _associations() -> list[AssociationLN]:
    readable = Rule()
    public = AccessTable(
        objects={(1, NAME): readable, (8, CLOCK): readable, (1, COUNTER): readable, (15, obis("0-0:40.0.1")): readable}
    )
    reader = AccessTable(default=readable, classes={70: Rule(act=frozenset({1})), 1: Rule(None, None, None)})
    everything = AccessTable(default=EVERYTHING)
    careful = AccessTable(default=Rule(None, None, None, authenticated=True), objects={(1, NAME): readable})
    return [
        AssociationLN("0-0:40.0.1", PUBLIC_SAP, public, name="public"),
        AssociationLN(
            "0-0:40.0.2",
            MANAGEMENT_SAP,
            everything,
            context=Context.LN_CIPHERED,
            mechanism=Mechanism.HLS_GMAC,
            security_setup=SECURITY,
            name="management",
        ),
        AssociationLN(
            "0-0:40.0.3", READER_SAP, reader, mechanism=Mechanism.LLS, secret=lambda device: PASSWORD, name="reader"
        ),
        AssociationLN(
            "0-0:40.0.4", PLAIN_HLS_SAP, careful, mechanism=Mechanism.HLS_GMAC, security_setup=SECURITY_V1, name="plain"
        ),
        AssociationLN(
            "0-0:40.0.5", SHA_SAP, everything, mechanism=Mechanism.HLS_SHA256, secret=b"a shared secret", name="sha"
        ),
    ]


ITEMS, _NAMES = objects()
TREE = ObjectTree(ITEMS)


def profile(**habits: Any) -> ServerProfile:
    security = TREE.named("security")
    plain = TREE.named("security plain")
    setups = {MANAGEMENT_SAP: security, PLAIN_HLS_SAP: plain}
    clients = {
        item.client_sap: ClientProfile(item, setups.get(item.client_sap))
        for item in ITEMS
        if isinstance(item, AssociationLN)
    }
    return ServerProfile(clients, **habits)


PROFILE = profile()


class Meter:
    """A device of the model above. Keys in contexts 0 to 4 of its own store; the head end's are in 8 to 12."""

    def __init__(self, server_profile: ServerProfile = PROFILE, **keys: Any) -> None:
        self.installation = 7
        self.deviations: dict[Any, Data] = {}
        self.store = ContextStore(16)
        self.contexts = {MANAGEMENT_SAP: 0, PLAIN_HLS_SAP: 1, SHA_SAP: 2, DEDICATED: 3}
        for own in (0, 1, 2):
            self.store.load(own, ek=EK, ak=AK, title=METER_TITLE, peer=CLIENT_TITLE, kek=KEK)
            self.store.load(8 + own, ek=EK, ak=AK, title=CLIENT_TITLE, peer=METER_TITLE, kek=KEK)
        self.objects = TREE
        self.association: Any = None
        self.pending: list[Any] = []
        self.notes: list[tuple[Any, ...]] = []
        self.wakes: list[int] = []
        self.emitted: list[tuple[Data, int]] = []
        self.installed: list[tuple[int, int]] = []
        self.moves: list[Any] = []
        self.log: list[tuple[int, list[Data]]] = []
        self.drift_ppm = 0
        self.contact = True
        self.welded = False
        self.running = b"first firmware"
        self.luck = 0
        self._challenges = 0
        self.server = Server(self, server_profile)

    def note(self, kind: str, *detail: Any) -> None:
        self.notes.append((kind, *detail))

    def noted(self, kind: str) -> int:
        return sum(1 for note in self.notes if note[0] == kind)

    def wake_at(self, at: int) -> None:
        self.wakes.append(at)

    def emit(self, body: Data, code: int) -> None:
        self.emitted.append((body, code))

    def chance(self, place: str) -> int:
        return self.luck

    def challenge(self) -> bytes:
        self._challenges += 1
        return self._challenges.to_bytes(16, "big")

    def key_installed(self, client_sap: int, key_id: int, now: int) -> None:
        self.installed.append((client_sap, key_id))

    # both ends

    def client(self, sap: int = MANAGEMENT_SAP, client_profile: Profile = MANAGEMENT, context: int = 8) -> "HeadEnd":
        return HeadEnd(self, Client(self.store, context, client_profile), sap)


class HeadEnd:
    """A client wired to a meter's server; `wire` may lose or change what passes."""

    def __init__(self, meter: Meter, client: Client, sap: int) -> None:
        self.meter = meter
        self.client = client
        self.sap = sap
        self.now = NOW
        self.sent: list[bytes] = []
        self.heard: list[bytes | None] = []

    def say(self, apdu: bytes) -> bytes | None:
        self.sent.append(apdu)
        answer = self.meter.server.receive(self.sap, apdu, self.now)
        self.heard.append(answer)
        faults = [note for note in self.meter.notes if note[0] == "dlms.fault"]
        assert not faults, faults
        return answer

    def ask(self, apdu: bytes) -> Outcome:
        outcome: Outcome = More(apdu)
        while isinstance(outcome, More):
            answer = self.say(outcome.apdu)
            if answer is None:
                return Refused("silence")
            outcome = self.client.receive(answer)
        return outcome

    def open(self, challenge: bytes = CTOS) -> "HeadEnd":
        outcome = self.ask(self.client.associate(challenge))
        assert isinstance(outcome, Answer), outcome
        return self

    def get(self, class_id: int, name: bytes, attribute: int, access: SelectiveAccess | None = None) -> Outcome:
        return self.ask(self.client.get(AttributeRef(class_id, name, attribute, access)))

    def value(self, class_id: int, name: bytes, attribute: int, access: SelectiveAccess | None = None) -> Any:
        outcome = self.get(class_id, name, attribute, access)
        assert isinstance(outcome, Answer), outcome
        return outcome.value

    def set(self, class_id: int, name: bytes, attribute: int, data: Data) -> Outcome:
        return self.ask(self.client.set(AttributeRef(class_id, name, attribute), data))

    def act(self, class_id: int, name: bytes, method: int, data: Data | None = None) -> Outcome:
        return self.ask(self.client.action(MethodRef(class_id, name, method), data))
