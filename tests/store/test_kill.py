"""Killed under load, again and again: what was acknowledged stands, and no nonce ever comes twice.

The test is the head end. It changes keys, switches supplies, writes calendars and has alerts raised in several homes at
once, while the process that holds the meters is killed with SIGKILL at arbitrary moments and started anew on the
same state. It writes down every frame that left that process. Its own counters and custody never die.
"""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emulator.codecs.acse import AARE_FRAME, AARQ_FRAME
from emulator.codecs.action import ACTION_RESPONSE, ActionResponse, MethodRef
from emulator.codecs.axdr import Data, enum, integer, octet_string, structure
from emulator.codecs.get import AttributeRef
from emulator.codecs.glo import GENERAL_GLO, GLO, PLAIN
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import gcm
from emulator.crypto.derive import key
from emulator.dlms.cosem import obis
from emulator.errors import TagError
from emulator.fleet.installation import KEYED
from emulator.fleet.store import look
from emulator.headend.conversation import Request
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.recovery import associate
from emulator.headend.rotation import rotate
from emulator.headend.services import CLOCK, PUSH_DESTINATION, SUPPLY
from emulator.kernel.machine import Party

DRIVER = Path(__file__).with_name("kill_driver.py")
FRAME, ALERT, STOP, HELLO = b"F", b"A", b"S", b"H"

SUPPLY_OFF = MethodRef(70, SUPPLY.logical_name, 1)
SUPPLY_ON = MethodRef(70, SUPPLY.logical_name, 2)
CALENDAR_NAME = AttributeRef(20, obis("0-0:13.0.0"), 6)
ELECTRICITY = 2
"""Its logical device."""

VALUES = {"supply": SUPPLY, "calendar": CALENDAR_NAME}
TO_US = structure([enum(1), octet_string(b"10.0.0.1:4061"), enum(0)])

HOMES = (0, 1, 6, 8, 9, 15)
"""Homes whose devices are well (papers may differ), in four of the six cells."""

Nonce = tuple[bytes, bytes, int]
"""(EK, system title, invocation counter)."""


@dataclass
class Home:
    """One home as the head end sees it. `allowed`: what a value may be now; two when an answer is outstanding."""

    number: int
    targets: dict[int, Target]
    rng: random.Random
    allowed: dict[str, set[Any]] = field(default_factory=dict)
    script: Any = None
    waiting: Request | None = None
    sent: tuple[int, bytes, int] | None = None
    changes: int = 0


class Watch:
    """All homes, every frame that came out, and what was acknowledged."""

    def __init__(self, seed: int) -> None:
        sys.path.insert(0, str(DRIVER.parent))
        try:
            from kill_driver import street
        finally:
            sys.path.pop(0)
        self.estate = street()
        self.rng = random.Random(seed)
        self.keyring = Keyring(key(b"head end", "kill"), range(self.estate.installations), Patience())
        self.homes: dict[int, Home] = {}
        for number in HOMES:
            installation = self.estate.installation(number)
            targets = self.keyring.targets(self.estate.smso(installation))
            by_sap = {target.session.server_sap: target for target in targets}
            self.homes[number] = Home(number, by_sap, random.Random(seed * 1000 + number))
        self.nonces: dict[Nonce, bytes] = {}
        self.answered: dict[tuple[int, int, bytes], int] = {}
        self.frames = 0
        self.switched = self.written = self.alerts = 0
        self.peer: socket.socket | None = None

    # What is asked

    def load(self, home: Home) -> Iterator[Any]:
        """Everything at once, without an end."""
        rng, opened = home.rng, set[int]()
        while True:
            sap = rng.choice([*home.targets, ELECTRICITY, ELECTRICITY])
            target = home.targets[sap]
            session = target.session
            if sap not in opened:
                yield from associate(session, target.custody)
                opened.add(sap)
                if target.party is Party.ELECTRICITY:
                    for what, allowed in home.allowed.items():
                        found = (yield from session.get(VALUES[what])).value
                        assert found in allowed, f"home {home.number} has {found} for its {what}, not {allowed}"
                        home.allowed[what] = {found}
                    yield from session.set(PUSH_DESTINATION, TO_US)
                continue
            wish = rng.random()
            if wish < 0.3:
                yield from rotate(session, target.custody)
                home.changes += 1
            elif target.party is not Party.ELECTRICITY:
                yield from session.get(CLOCK)
            elif wish < 0.5:
                off = rng.random() < 0.5
                home.allowed["supply"] = home.allowed.get("supply", {0, 1, 2}) | ({0} if off else {1, 2})
                yield from session.action(SUPPLY_OFF if off else SUPPLY_ON, integer(0))
                home.allowed["supply"] = {0} if off else {1, 2}
                self.switched += 1
            elif wish < 0.7:
                name = rng.randbytes(6)
                before = home.allowed.get("calendar") or {(yield from session.get(CALENDAR_NAME)).value}
                home.allowed["calendar"] = before | {name}
                yield from session.set(CALENDAR_NAME, octet_string(name))
                home.allowed["calendar"] = {name}
                self.written += 1
            elif wish < 0.85 and self.peer is not None:
                self.post(ALERT + home.number.to_bytes(4, "big"))
                yield from session.get(CLOCK)
            else:
                yield from session.get(CLOCK)

    # How it goes there and back

    def begin(self, peer: socket.socket) -> None:
        self.peer = peer
        for home in self.homes.values():
            home.script = self.load(home)
            self.resume(home, None)

    def resume(self, home: Home, heard: bytes | None) -> None:
        while True:
            ask = home.script.send(heard)
            if isinstance(ask, Request):
                break
            heard = None
        home.waiting = ask
        assert ask.apdu, f"home {home.number}: an answer was not believed"
        session = home.targets[ask.server_sap].session
        found = protected(ask.apdu)
        counter = found[0][1] if found else -1
        home.sent = (ask.server_sap, session.keys.ek if session.keys else b"", counter)
        frame = WRAPPER.build(Wrapper(ask.client_sap, ask.server_sap, ask.apdu))
        self.post(FRAME + home.number.to_bytes(4, "big") + frame)

    def post(self, message: bytes) -> None:
        if self.peer is not None:
            try:
                self.peer.send(message)
            except OSError:  # it was killed; what it still said is read all the same
                self.peer = None

    def hear(self, message: bytes) -> None:
        home = self.homes[int.from_bytes(message[1:5], "big")]
        wrapper = WRAPPER.parse(message[5:])
        self.frames += 1
        self.write_down(home, wrapper)
        if message[:1] == ALERT:
            self.alerts += 1
            return
        ask = home.waiting
        assert ask is not None
        assert (wrapper.source, wrapper.destination) == (ask.server_sap, ask.client_sap)
        if home.sent is not None:
            sap, ek, counter = home.sent
            self.answered[home.number, home.targets[sap].party, ek] = counter
        self.resume(home, wrapper.payload)

    # What left

    def write_down(self, home: Home, wrapper: Wrapper) -> None:
        """Every nonce of a frame, under the key that really opens it; one that came before must be the same frame."""
        target = home.targets[wrapper.source]
        title = target.device.spec.system_title
        for control, counter, text in protected(wrapper.payload):
            ek, plain = self.opened(target, title, control, counter, text)
            self.spend((ek, title, counter), text)
            if plain is not None:
                self.proof(plain, ek, title)
        keys = target.session.keys
        if keys is not None:
            self.proof(wrapper.payload, keys.ek, title)

    def opened(self, target: Target, title: bytes, control: int, counter: int, text: bytes) -> tuple[bytes, bytes]:
        known = target.custody.data.custody
        assert control & 0x30 == 0x30
        for generation in reversed(range(max(known.live, known.candidate) + 1)):
            keys = target.custody.data_keys(generation)
            try:
                iv = title + counter.to_bytes(4, "big")
                return keys.ek, gcm.open(keys.ek, iv, bytes([control]) + keys.ak, text, 12)
            except TagError:
                continue
        raise AssertionError("a frame left under keys that were never given to the device")

    def proof(self, apdu: bytes, ek: bytes, title: bytes) -> None:
        """The answer to our challenge spends a nonce as well: security control, counter, tag."""
        if apdu[:1] == b"\xc7":
            response = ACTION_RESPONSE.parse(apdu)
            if isinstance(response, ActionResponse) and isinstance(response.data, Data):
                value = response.data.value
                if isinstance(value, bytes) and len(value) == 17 and value[0] == 0x10:
                    self.spend((ek, title, int.from_bytes(value[1:5], "big")), value[5:])

    def spend(self, nonce: Nonce, text: bytes) -> None:
        assert self.nonces.setdefault(nonce, text) == text, f"nonce {nonce[1].hex()}/{nonce[2]} was used twice"

    # What lies in the state

    def check_state(self, state: str) -> None:
        """Of every device: the send counter lies ahead of all that left, the received one above all answered."""
        spent: dict[tuple[bytes, bytes], int] = {}
        for ek, title, counter in self.nonces:
            spent[ek, title] = max(counter, spent.get((ek, title), -1))
        store = look(state)
        try:
            for home in self.homes.values():
                saved = store.load_home(self.estate.cell_of(home.number), home.number)
                if saved is None:
                    assert not any(number == home.number for number, _, _ in self.answered)
                    continue
                for party, raw, facts in zip(KEYED, saved.contexts, saved.states(), strict=True):
                    if raw is None or facts is None:
                        continue
                    assert facts["tx"] > spent.get((raw[:16], facts["title"]), -1)
                    assert facts["rx"] > self.answered.get((home.number, party, raw[:16]), -1)
        finally:
            store.close()


def protected(apdu: bytes) -> list[tuple[int, int, bytes]]:
    """(security control, counter, text) of all that is ciphered in an APDU."""
    if not apdu:
        return []
    if apdu[0] == 0xDB:
        general = GENERAL_GLO.parse(apdu)
        return [(general.security_control, general.invocation_counter, general.text)]
    if apdu[0] in PLAIN:
        frame = GLO.parse(apdu)
        return [(frame.security_control, frame.invocation_counter, frame.text)]
    if apdu[0] == 0x61:
        return protected(AARE_FRAME.parse(apdu).user_information or b"")
    if apdu[0] == 0x60:
        return protected(AARQ_FRAME.parse(apdu).user_information or b"")
    return []


def run(folder: Path, kills: int, seed: int) -> Watch:
    """Kill it so many times; then once more let it work, and end it in peace."""
    state, address = str(folder / "state"), str(folder / "socket")
    watch = Watch(seed)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        (folder / "errors").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, str(DRIVER), state, address], stdin=subprocess.PIPE, stderr=errors
        ) as driver,
    ):
        try:
            listener.bind(address)
            listener.listen()
            listener.settimeout(30)
            for life in range(kills + 1):
                assert driver.stdin is not None
                driver.stdin.write(b"\n")
                driver.stdin.flush()
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(30)
                    one_life(watch, peer, kill=life < kills)
                watch.check_state(state)
        except AssertionError as error:
            error.add_note((folder / "errors").read_text("utf-8", "replace")[-3000:])
            raise
        finally:
            driver.kill()
    assert (folder / "errors").read_bytes() == b""
    return watch


def one_life(watch: Watch, peer: socket.socket, *, kill: bool) -> None:
    hello = peer.recv(65536)
    assert hello[:1] == HELLO
    child = int.from_bytes(hello[1:5], "big")
    early = kill and watch.rng.random() < 0.25  # perhaps before it has answered at all
    span = watch.rng.uniform(0.0, 0.3) if kill else 0.3
    until = time.monotonic() + (span if early else 30)
    watch.begin(peer)
    ended = False
    while True:
        left = until - time.monotonic()
        if left <= 0 and not ended:
            ended = True
            if kill:
                os.kill(child, signal.SIGKILL)
            else:
                watch.peer = None
                peer.send(STOP)
        if not select.select([peer], [], [], max(0.0, left) if not ended else 30)[0]:
            assert not ended, "it neither answers nor ends"
            continue
        try:
            message = peer.recv(65536)
        except ConnectionResetError:
            message = b""
        if not message:
            break
        until = min(until, time.monotonic() + span)
        watch.hear(message)
    assert ended, "it ended by itself"
    for home in watch.homes.values():
        home.script.close()


def judge(watch: Watch, kills: int) -> None:
    """There was a load, of every kind."""
    changes = sum(home.changes for home in watch.homes.values())
    print(
        f"{kills} kills: {watch.frames} frames left, {watch.alerts} of them alerts, with {len(watch.nonces)} nonces; "
        f"acknowledged: {changes} changes of keys, {watch.switched} switchings, {watch.written} values written"
    )
    assert watch.frames > 20 * kills
    assert min(changes, watch.switched, watch.written, watch.alerts) >= kills // 2


def test_killed_a_few_times(tmp_path: Path) -> None:
    """Eight kills at arbitrary moments: nothing acknowledged is lost, no nonce is used twice."""
    judge(run(tmp_path, 8, seed=1), 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
def test_killed_a_hundred_times(tmp_path: Path, seed: int) -> None:
    """One hundred kills under load."""
    judge(run(tmp_path, 100, seed), 100)
