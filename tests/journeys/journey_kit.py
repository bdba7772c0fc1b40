"""What the journeys share: a tap on every wire that can also cut it, and witnesses who believe nobody.

The tap sits on the classes that carry frames, before a world is made, so it sees every frame of every wire and may lose
any of them. The witnesses take nothing from the run but bytes: which keys a device holds is found out by trying them on
its context, and which counter was spent under which key by opening every captured frame with every key there is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator.codecs.acse import AARE_FRAME, AARQ_FRAME, RLRE_FRAME, RLRQ_FRAME
from emulator.codecs.action import ACTION_REQUEST, ACTION_RESPONSE, ActionRequest, ActionResponse
from emulator.codecs.axdr import Data
from emulator.codecs.glo import GENERAL_GLO, GLO, PLAIN
from emulator.codecs.wrapper import WRAPPER
from emulator.crypto import gcm, keywrap
from emulator.dcc.casework import CampaignSettings
from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.ledger import Line, Totals, line, totals
from emulator.dcc.verdict import Verdict
from emulator.errors import CryptoError, EmulatorError
from emulator.fleet.estate import open_estate
from emulator.fleet.installation import KEYED, DeviceKeys, Installation
from emulator.fleet.wires import Radio
from emulator.headend.keyring import HEAD_END_TITLE
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party
from emulator.link.air import Air, AirProfile
from emulator.link.chain import Chain
from emulator.link.profile import LinkProfile
from emulator.scenario.playground import DeviceHandle, Home, Playground

CALM = AirProfile(loss=0.0, sms_loss=0.0)
"""Air that loses nothing: what is lost is lost by the test."""


@dataclass(slots=True)
class Seen:
    """One frame put on a wire: "down" and "up" of the core link, "sms", and the two ways over the HAN."""

    way: str
    installation: int
    frame: bytes
    at: int


@dataclass
class Tap:
    """Every frame put on a wire, in order. `lose` is asked for each and says True for one that is lost."""

    seen: list[Seen] = field(default_factory=list)
    lose: Callable[[int, Seen], bool] = lambda number, seen: False

    def takes(self, way: str, installation: int, frame: bytes, now: int) -> bool:
        """Note a frame; True when it is lost."""
        seen = Seen(way, installation, frame, now)
        number = len(self.seen)
        self.seen.append(seen)
        return self.lose(number, seen)

    def clear(self) -> None:
        self.seen.clear()
        self.lose = lambda number, seen: False


def put_on(monkeypatch: pytest.MonkeyPatch) -> Tap:
    """Tap every world made from now on."""
    tap = Tap()
    down, up, sms, radio = Chain.offer_down, Chain.offer_up, Air.sms, Radio.carry

    def offer_down(self: Any, installation: int, source: int, target: int, frame: bytes, now: int, number: int) -> Any:
        lost = tap.takes("down", installation, frame, now)
        return [] if lost else down(self, installation, source, target, frame, now, number)

    def offer_up(
        self: Any, installation: int, to: int, source: int, target: int, frame: bytes, now: int, number: int
    ) -> Any:
        lost = tap.takes("up", installation, frame, now)
        return [] if lost else up(self, installation, to, source, target, frame, now, number)

    def short_message(self: Any, installation: int, now: int, *rest: Any, **more: Any) -> Any:
        return [] if tap.takes("sms", installation, b"", now) else sms(self, installation, now, *rest, **more)

    def carry(self: Any, stage: int, installation: int, payload: bytes, now: int, number: int) -> Any:
        way = "han down" if self._down else "han up"
        lost = tap.takes(way, installation, payload, now)
        return [] if lost else radio(self, stage, installation, payload, now, number)

    monkeypatch.setattr(Chain, "offer_down", offer_down)
    monkeypatch.setattr(Chain, "offer_up", offer_up)
    monkeypatch.setattr(Air, "sms", short_message)
    monkeypatch.setattr(Radio, "carry", carry)
    return tap


# What a device truly holds


def context(world: Playground, home: Home, party: Party) -> tuple[Any, int]:
    """The devices' store of a home's cell, and the index of one of its devices."""
    cell = world.cell(home.number).cell
    cell.machine(home.number, party)  # whoever was never touched has no context yet
    return cell.store, cell.context(home.number, party)


def holds_data(store: Any, index: int, keys: DeviceKeys) -> bool:
    """Whether a message under these keys opens in a context; nothing moves."""
    state = store.state(index)
    blob = store.export(index)
    text = gcm.seal(keys.ek, state.peer + bytes(4), b"\x30" + keys.ak, b"is it you?", 12)
    try:
        store.set_counters(index, rx=0)
        return bool(store.open(index, 0x30, 0, text) == b"is it you?")
    except CryptoError:
        return False
    finally:
        store.restore(index, blob)


def holds_master(store: Any, index: int, kek: bytes) -> bool:
    """Whether a key wrapped under this master key unwraps in a context."""
    try:
        return bytes(store.unwrap(index, keywrap.wrap(kek, bytes(16)))) == bytes(16)
    except CryptoError:
        return False


@dataclass(slots=True)
class Truth:
    """Generations that work in a device, and what the keeper believes: (live, candidate) of data and of master."""

    data: list[int]
    master: list[int]
    believed_data: tuple[int, int]
    believed_master: tuple[int, int]

    @property
    def sound(self) -> bool:
        """One pair and one master key are live, the keeper knows which, and nothing is in doubt."""
        return self.believed_data == (*self.data, 0) and self.believed_master == (*self.master, 0)


def custody(world: Playground, home: Home, party: Party) -> Any:
    """The head end's custody of a device."""
    play = world.cell(home.number)
    targets = play.keyring.targets(world.estate.smso(home.installation))
    return next(target.custody for target in targets if target.party is party)


def truth(world: Playground, home: Home, party: Party, most: int = 12) -> Truth:
    """Try every generation up to `most` on the device."""
    held = custody(world, home, party)
    store, index = context(world, home, party)
    data, master = held.data.custody, held.master.custody
    return Truth(
        [each for each in range(most) if holds_data(store, index, held.data_keys(each))],
        [each for each in range(most) if holds_master(store, index, held.master_key(each))],
        (data.live, data.candidate),
        (master.live, master.candidate),
    )


# What was spent


def titles(home: Home) -> dict[int, bytes]:
    """System titles by logical device."""
    sap = {Party.HUB: 1, Party.ELECTRICITY: 2, Party.GAS: 3}
    return {sap[spec.kind]: spec.system_title for spec in home.installation.devices if spec.kind in KEYED}


def sealed_parts(apdu: bytes) -> list[tuple[bytes | None, int, int, bytes]]:
    """(title or None, security control, counter, text) of whatever is ciphered in an APDU."""
    tag = apdu[0]
    if tag == 0xDB:
        general = GENERAL_GLO.parse(apdu)
        return [(general.system_title, general.security_control, general.invocation_counter, general.text)]
    acse = {0x60: AARQ_FRAME, 0x61: AARE_FRAME, 0x62: RLRQ_FRAME, 0x63: RLRE_FRAME}.get(tag)
    inside = apdu
    if acse is not None:
        inside = acse.parse(apdu).user_information or b""
    if inside and inside[0] in PLAIN:
        ciphered = GLO.parse(inside)
        return [(None, ciphered.security_control, ciphered.invocation_counter, ciphered.text)]
    return []


def gmac_counter(plain: bytes) -> int | None:
    """The counter of the HLS token in a reply_to_HLS request or its answer."""
    value: Any = None
    if plain[0] == 0xC3:
        request = ACTION_REQUEST.parse(plain)
        if type(request) is ActionRequest and request.method.class_id == 15:
            value = request.parameters
    elif plain[0] == 0xC7:
        response = ACTION_RESPONSE.parse(plain)
        if type(response) is ActionResponse:
            value = response.data
    if isinstance(value, Data) and isinstance(value.value, bytes) and len(value.value) == 17:
        return int.from_bytes(value.value[1:5], "big")
    return None


@dataclass
class Nonces:
    """Every (system title, encryption key, counter) spent, and on what. The same frame seen twice is one spending."""

    spent: dict[tuple[bytes, bytes, int], tuple[str, bytes]] = field(default_factory=dict)
    again: list[tuple[str, str, int]] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    opened: int = 0

    def spend(self, title: bytes, ek: bytes, counter: int, what: str, text: bytes) -> None:
        before = self.spent.setdefault((title, ek, counter), (what, text))
        if before != (what, text):
            self.again.append((before[0], what, counter))


def nonces(world: Playground, home: Home, seen: Iterable[Seen], most: int = 12) -> Nonces:
    """Open every ciphered frame of a home with every key there is, and write down the counters."""
    every: list[DeviceKeys] = []
    for party in KEYED:
        if home.installation.device(party) is not None:
            held = custody(world, home, party)
            every += [held.data_keys(each) for each in range(most)]
            every.append(world.estate.keys(home.installation, party))
    # Pairs first; then, for a device that was torn between two, every mixture.
    every += [DeviceKeys(one.ek, other.ak, None) for one in every for other in every if one is not other]
    by_sap = titles(home)
    found = Nonces()
    for each in seen:
        if each.installation != home.number or not each.frame:
            continue
        frame = each.frame
        if each.way == "han up" and frame[:2] != b"\x00\x01":
            frame = frame[6:]  # an alert carries its destination in front
        try:
            wrapper = WRAPPER.parse(frame)
        except EmulatorError:
            continue  # a report or a poll of the HAN: nothing ciphered
        sender = HEAD_END_TITLE if "down" in each.way else by_sap.get(wrapper.source, b"")
        for title, control, counter, text in sealed_parts(wrapper.payload):
            own = title or sender
            for keys in every:
                try:
                    plain = gcm.open(keys.ek, own + counter.to_bytes(4, "big"), bytes((control,)) + keys.ak, text, 12)
                except CryptoError:
                    continue
                found.opened += 1
                found.spend(own, keys.ek, counter, f"{wrapper.payload[0]:02X}", text)
                token = gmac_counter(plain)
                if token is not None:
                    found.spend(own, keys.ek, token, "HLS", text)
                break
            else:
                found.closed.append(frame)
    return found


# Errands


def attempt(errand: Callable[[], Any]) -> EmulatorError | None:
    """Do an errand that may be lost or refused; how it ended."""
    try:
        errand()
    except (NoAnswerError, RefusedError) as error:
        return error
    return None


def heal(device: DeviceHandle, tries: int = 2) -> int:
    """Change keys until it goes well; how many tries it took."""
    for number in range(1, tries + 1):
        error = attempt(device.rotate_keys)
        if error is None:
            return number
    raise AssertionError(f"not healed after {tries} tries: {error}")


# Other makers' habits


def with_habits(monkeypatch: pytest.MonkeyPatch, name: str, **security: Any) -> None:
    """Let every device of a model behave otherwise towards what it refuses (`[security]` of its profile)."""
    import msgspec

    from devices.common.model import DeviceModel
    from emulator.fleet import registry

    known = registry.model
    own = known(name)
    profile = msgspec.structs.replace(own.profile, security=msgspec.structs.replace(own.profile.security, **security))
    other = DeviceModel(profile, own.build)  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "model", lambda wanted: other if wanted == name else known(wanted))


# Campaigns


def open_campaign(
    estate: str = "demo-street",
    *,
    seed: int | None = None,
    installations: int | None = None,
    link: str = "ipsec",
    sink: Any = None,
    profile: LinkProfile | None = None,
    air: AirProfile | None = None,
) -> CellCampaign:
    """A campaign over an estate that is one cell."""
    opened = open_estate(estate, seed, installations)
    assert opened.cells == 1
    return CellCampaign(
        opened,
        0,
        CampaignSettings(),
        link=link,
        profile=profile or LinkProfile(),
        air=air or AirProfile(),
        sink=sink,
    )


def migrate(campaign: CellCampaign, most: int = 40) -> int:
    """Run days until every case has ended; the number of the next day."""
    for day in range(most):
        report = campaign.day(day, 1_000)
        if not report.waiting and not report.open:
            return day + 1
    raise AssertionError(f"cases are open after {most} days")


def audit(campaign: CellCampaign, day: int, most: int = 20) -> Totals:
    """Audit until every migrated home has been heard; the ledger's sums."""
    for number in range(day, day + most):
        if not campaign.audit_day(number):
            return totals(campaign.cell.rows.columns())
    raise AssertionError(f"audits are open after {most} days")


def lines(campaign: CellCampaign) -> list[Line]:
    """The ledger, home by home."""
    columns = campaign.cell.rows.columns()
    return [line(columns, campaign.cell.members.start, number) for number in campaign.cell.members]


def expected(home: Installation) -> tuple[Verdict, str]:
    """What must become of a home with this condition: the test bench may look at the truth."""
    condition = home.condition
    if condition is None:
        return Verdict.MIGRATED, ""
    verdict = Verdict.MIGRATED if condition.kind == "MF5" else Verdict.FAILED
    return verdict, f"{condition.kind}:{condition.detail}"
