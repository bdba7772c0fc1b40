"""Somebody's own head end at the end of a line to a live estate, which does what it is told to, right or wrong."""

from collections.abc import Iterable
from typing import Any

from emulator.codecs.action import ACTION_REQUEST, ActionRequest, MethodRef
from emulator.codecs.axdr import Data, array, enum, octet_string, structure
from emulator.codecs.get import AttributeRef
from emulator.codecs.glo import GLO, Ciphered
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import keywrap
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Answer, Client, More
from emulator.fleet import registry
from emulator.fleet.estate import open_estate
from emulator.headend.dual_control import Approvals
from emulator.headend.services import DEVICE_NAME, KEY_TRANSFER
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate
from emulator.watch.estate import EstateWatch
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import Violation

OUR_TITLE = b"OWN\x00\x00\x00\x00\x07"


class Bench:
    """A watched live estate with instant timing."""

    def __init__(self, settings: WatchSettings | None = None, estate: str = "demo-street") -> None:
        self.estate = open_estate(estate)
        self.live = LiveEstate(self.estate)
        self.approvals = Approvals()
        self.watch = EstateWatch(settings or WatchSettings(), self.approvals)
        self.live.overlook(self.watch)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.violations()]

    def violations(self) -> list[Violation]:
        return self.watch.violations(self.live.now)

    def approve(self, installation: int, party: Party, service: str) -> None:
        self.approvals.grant(installation, party, service, self.live.now, 3_600)


class Outsider:
    """A client with the keys of one device. `tx` is its first counter; by default what the device accepts next."""

    def __init__(
        self,
        bench: Bench,
        installation: int = 0,
        party: Party = Party.ELECTRICITY,
        *,
        title: bytes = OUR_TITLE,
        tx: int | None = None,
    ) -> None:
        self.bench, self.installation, self.party = bench, installation, party
        home = bench.estate.installation(installation)
        spec = home.device(party)
        assert spec is not None
        self.addressing = registry.model(spec.model).profile.addressing
        self.keys = bench.estate.keys(home, party)
        self.store = ContextStore(1)
        lowest = bench.estate.counters(home, party)[1]
        self.store.load(
            0, ek=self.keys.ek, ak=self.keys.ak, title=title, peer=spec.system_title, tx=lowest if tx is None else tx
        )
        self.client = Client(self.store, 0, MANAGEMENT)
        self._heard: list[bytes] = []
        self._line = bench.live.line(installation, self._heard.append)
        self._challenges = 0

    def say(self, apdu: bytes, client_sap: int | None = None) -> bytes | None:
        """Send bytes as they are; the answering APDU."""
        sap = self.addressing.management if client_sap is None else client_sap
        assert self._line.send(WRAPPER.build(Wrapper(sap, self.addressing.sap, apdu)))
        self.bench.live.advance(self.bench.live.now)
        self.bench.live.commit()
        answers = [WRAPPER.parse(frame).payload for frame in self._heard]
        self._heard.clear()
        return answers[-1] if answers else None

    def ask(self, apdu: bytes) -> Any:
        """Send a request and follow it to its outcome."""
        while True:
            answer = self.say(apdu)
            if answer is None:
                return None
            outcome = self.client.receive(answer)
            if isinstance(outcome, More):
                apdu = outcome.apdu
                continue
            return outcome.value if isinstance(outcome, Answer) else outcome

    def open(self) -> "Outsider":
        self._challenges += 1
        self.ask(self.client.associate(b"challenge %6d" % self._challenges))
        assert self.client.associated
        return self

    def close(self) -> None:
        self.ask(self.client.release())

    def read(self, reference: AttributeRef = DEVICE_NAME) -> Any:
        return self.ask(self.client.get(reference))

    def sealed(self, control: int, plain: bytes) -> bytes:
        """A request under another protection than the client's own."""
        counter, text = self.store.seal(0, control, plain)
        return GLO.build(Ciphered(plain[0] + 8, control, counter, text))

    def transfer(self, keys: Iterable[tuple[int, bytes]]) -> Any:
        """Hand keys over, wrapped; and take them into use here too."""
        assert self.keys.kek is not None
        kek = self.keys.kek
        items = [structure([enum(number), octet_string(keywrap.wrap(kek, key))]) for number, key in keys]
        outcome = self.ask(self.client.action(KEY_TRANSFER, array(items)))
        for number, key in keys:
            if number == 0:
                self.store.install(0, ek=key)
            elif number == 2:
                self.store.install(0, ak=key)
        self.store.set_counters(0, rx=0)
        return outcome


def action(method: MethodRef, data: Data | None = None) -> bytes:
    """A plain ACTION request."""
    return ACTION_REQUEST.build(ActionRequest(0xC1, method, data))
