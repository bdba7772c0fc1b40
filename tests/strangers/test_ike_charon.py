"""Our IKEv2 against strongSwan's charon, both ways round: set-up, traffic, rekeys, death, refusals, certificates.

charon runs in a namespace of its own with its userland ESP; we hold the wire to it, and are every host beyond. A small
blocking driver turns datagrams and the clock into calls of `IkePeer`, opens what comes as ESP and answers pings.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import pytest
from certificate_kit import Authority, charon_files
from charon_kit import SECRET, Charon
from charon_kit import connection as swanctl
from namespace_kit import Lab, Namespace
from wire_kit import Udp

from emulator.crypto.certificates import authorities, credentials
from emulator.crypto.esp_sa import Sa
from emulator.errors import EmulatorError
from emulator.kernel.effects import Note
from emulator.link.ike.effects import Address, ChildDown, ChildUp, IkeDown, IkeUp, PathChanged, Transmit
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Limits, Secret, Timers, Trust, network

pytestmark = pytest.mark.stranger

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
US, THEM = int(IPv4Address(OURS)), int(IPv4Address(THEIRS))
INNER = "10.2.0.1"
BEYOND = "10.1.0.77"
ELSEWHERE = "192.0.2.3"
CALM = Timers(dpd_delay=0, rekey_child=0, rekey_ike=0, tries=8)


def now() -> int:
    return time.time_ns() // 1000


class Gateway:
    """Our end, driven by the real clock in a thread of its own."""

    def __init__(self, peer: IkePeer, udp: Udp) -> None:
        self.peer = peer
        self.udp = udp
        self.said: list[tuple[int, Any]] = []
        self.opened: dict[int, Sa] = {}
        self.sealed: dict[int, tuple[Sa, Any]] = {}
        self.pings = 0
        self.deaf = False
        self.moments: list[int] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            due = (self.peer.next_timer() - now()) / 1e6
            got = self.udp.receive(min(max(due, 0.0), 0.05))
            with self._lock:
                if got is not None and not self.deaf:
                    source = Address(int(IPv4Address(got.source)), got.source_port)
                    local = Address(int(IPv4Address(got.destination)), got.destination_port)
                    if local.port == 4500 and got.payload[:4] != bytes(4):
                        self._esp(got.payload, source, local)
                    else:
                        self._do(self.peer.handle(got.payload, source, now(), local))
                if self.peer.next_timer() <= now():
                    self._do(self.peer.tick(now()))

    def _do(self, effects: list[Any]) -> None:
        for one in effects:
            match one:
                case Transmit():
                    self._send(one.source, one.destination, one.payload)
                    continue
                case ChildUp():
                    keys = one.child
                    self.opened[keys.spi_in] = Sa(keys.spi_in, keys.inbound.encryption, keys.inbound.salt)
                    self.sealed[keys.spi_in] = (Sa(keys.spi_out, keys.outbound.encryption, keys.outbound.salt), keys)
                case ChildDown():
                    self.opened.pop(one.spi_in, None)
                    self.sealed.pop(one.spi_in, None)
            self.said.append((now(), one))

    def _send(self, source: Address, destination: Address, payload: bytes) -> None:
        self.udp.send(
            str(IPv4Address(source.ip)), source.port, str(IPv4Address(destination.ip)), destination.port, payload
        )

    def _esp(self, packet: bytes, source: Address, local: Address) -> None:
        spi = int.from_bytes(packet[:4], "big")
        if spi not in self.opened:
            return
        try:
            _, inner = self.opened[spi].open(packet)
        except EmulatorError:
            return
        self.peer.heard(spi, now())
        self.moments.append(now())
        if inner[9] == 1 and inner[20] == 8:
            self.pings += 1
            checksum = int.from_bytes(inner[22:24], "big") + 0x0800
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
            reply = inner[:12] + inner[16:20] + inner[12:16] + bytes(2) + checksum.to_bytes(2, "big") + inner[24:]
            self._send(local, source, self.sealed[spi][0].seal(reply, 4))

    def do(self, wish: str, *words: Any) -> None:
        with self._lock:
            self._do(getattr(self.peer, wish)(*words, now()))

    def of(self, kind: type) -> list[Any]:
        return [one for _, one in list(self.said) if type(one) is kind]

    def wait(self, kind: type, times: int = 1, timeout: float = 30.0) -> Any:
        """The `times`-th effect of a kind."""
        end = time.monotonic() + timeout
        while len(found := self.of(kind)) < times:
            assert time.monotonic() < end, f"{len(found)} of {times} {kind.__name__}: {self.said}"
            time.sleep(0.01)
        return found[times - 1]

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


class Meeting:
    """charon, its namespace, and our gateway."""

    def __init__(self, place: Namespace, charon: Charon, ours: Gateway) -> None:
        self.place, self.charon, self.ours = place, charon, ours

    def ping(self, count: int = 3) -> None:
        """charon's user reaches ours, every time."""
        self.place.run(f"ping -q -c {count} -i 0.05 -W 5 -I {INNER} {BEYOND}")

    def child(self) -> Any:
        """Our one child."""
        (found,) = self.ours.sealed.values()
        return found[1]


def ours(**changes: Any) -> Connection:
    """Our connection to charon."""
    words: dict[str, Any] = {
        "secret": Secret(SECRET.encode()),
        "proposals": ("aes256gcm16-prfsha256-x25519",),
        "timers": CALM,
        "esp": ("aes256gcm16",),
    } | changes
    child = Child("net", (network("10.1.0.0/24"),), (network("10.2.0.0/24"),), words.pop("esp"))
    return Connection("link", Identity.of("emulator"), (child,), Identity.of("charon"), Address(THEM, 500), **words)


@contextmanager
def meeting(
    folder: Path,
    connection: Connection | None = None,
    *,
    settings: str = "",
    limits: Limits | None = None,
    files: dict[str, bytes] | None = None,
    keylog: KeyLog | None = None,
    local: str = THEIRS,
    **words: Any,
) -> Iterator[Meeting]:
    with Lab(folder) as lab:
        place = lab.add("charon")
        wire = place.wire(THEIRS)
        place.ip(f"addr add {INNER}/32 dev lo")
        peer = IkePeer(
            "emulator", [connection or ours()], b"against charon", Address(US, 500), limits=limits, keylog=keylog
        )
        gateway = Gateway(peer, Udp(wire))
        charon = Charon(place, swanctl(local, OURS, **words), settings=settings, files=files)
        try:
            yield Meeting(place, charon, gateway)
        finally:
            charon.stop("KILL")
            gateway.close()


WAYS = pytest.mark.parametrize("begins", ["charon", "we"])


def begin(met: Meeting, begins: str) -> None:
    """One of the two sets up; both say it stands."""
    if begins == "charon":
        met.charon.initiate()
    else:
        met.ours.do("initiate", "link")
    met.ours.wait(ChildUp)
    met.charon.wait(r"CHILD_SA net\{\d+\} established")


@WAYS
def test_everything_a_tunnel_lives_through(tmp_path: Path, begins: str) -> None:
    """Set-up, ping, both SAs rekeyed from both ends with pings between, probes both ways, and the end."""
    with meeting(tmp_path, ours(timers=Timers(dpd_delay=500_000, rekey_child=0, rekey_ike=0, tries=8))) as met:
        begin(met, begins)
        met.ping()
        ups, ikes = 1, 1
        for wish, who in (
            ("child", "charon"),
            ("child", "we"),
            ("ike", "charon"),
            ("ike", "we"),
            ("child", "charon"),
            ("child", "we"),
        ):
            if who == "charon":
                met.charon.rekey(**({"child": "net"} if wish == "child" else {"ike": "link"}))
            elif wish == "child":
                met.ours.do("rekey_child", met.child().spi_in)
            else:
                met.ours.do("rekey_ike", "link")
            if wish == "child":
                ups += 1
                met.ours.wait(ChildUp, ups)
                met.ours.wait(ChildDown, ups - 1)
            else:
                ikes += 1
                met.ours.wait(IkeUp, ikes)
                met.ours.wait(IkeDown, ikes - 1)
            met.ping()
        assert {one.reason for one in met.ours.of(ChildDown) + met.ours.of(IkeDown)} == {"rekeyed"}
        time.sleep(1.2)
        assert met.charon.sas()["link"]["state"] == "ESTABLISHED"
        if begins == "charon":
            met.charon.terminate("link")
        else:
            met.ours.do("terminate", "link")
        met.ours.wait(IkeDown, ikes)
        met.charon.wait("deleting IKE_SA link|deleted")
        assert not met.ours.peer.sas
        end = time.monotonic() + 10
        while met.charon.sas() and time.monotonic() < end:
            time.sleep(0.05)
        assert met.charon.sas() == {}


@WAYS
@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        ("aes128gcm16-prfsha384-ecp256", "aes128gcm16"),
        ("aes256-sha256-modp2048", "aes128gcm16"),
        ("chacha20poly1305-prfsha512-x25519", "aes256gcm16-x25519"),
        ("aes128-sha512-prfsha256-ecp256", "aes256gcm16"),
    ],
)
def test_suites(tmp_path: Path, begins: str, ike: str, esp: str) -> None:
    """Other ciphers, hashes and groups; the child rekeyed once, with a new exchange where the suite has one."""
    with meeting(tmp_path, ours(proposals=(ike,), esp=(esp,)), proposals=ike, esp=esp) as met:
        begin(met, begins)
        met.ping()
        met.charon.rekey(child="net")
        met.ours.wait(ChildDown)
        met.ping()


@WAYS
@pytest.mark.parametrize("esp", ["aes128-sha256", "chacha20poly1305", "aes256gcm8"])
def test_other_esp_keys_are_the_same_at_both_ends(tmp_path: Path, begins: str, esp: str, monkeypatch: Any) -> None:
    """Suites whose packets another test judges: charon's log has the very keys we hand out."""
    monkeypatch.setattr(f"{__name__}.Sa", lambda *words: None)
    with meeting(tmp_path, ours(esp=(esp,)), esp=esp) as met:
        begin(met, begins)
        told, (_, child) = met.charon.secrets(), next(iter(met.ours.sealed.items()))[1]
        there, back = (child.inbound, child.outbound) if begins == "charon" else (child.outbound, child.inbound)
        assert told["encryption initiator key"][-1] == there.encryption + there.salt
        assert told["encryption responder key"][-1] == back.encryption + back.salt
        if there.integrity:
            assert told["integrity initiator key"][-1] == there.integrity
            assert told["integrity responder key"][-1] == back.integrity


@WAYS
def test_the_key_schedule_is_charons(tmp_path: Path, begins: str) -> None:
    """The secrets in charon's log are the ones we computed: five of the IKE SA, both of the child."""
    with meeting(tmp_path) as met:
        begin(met, begins)
        (sa,) = met.ours.peer.sas.values()
        told = met.charon.secrets()
        for name in ("d", "ei", "er", "pi", "pr"):
            assert told[f"Sk_{name} secret"][-1] == getattr(sa.keys, name), name
        there, back = met.child().inbound, met.child().outbound
        if begins == "we":
            there, back = back, there
        assert told["encryption initiator key"][-1] == there.encryption + there.salt
        assert told["encryption responder key"][-1] == back.encryption + back.salt


@WAYS
def test_wrong_secret(tmp_path: Path, begins: str) -> None:
    """AUTHENTICATION_FAILED, by name, at whichever end."""
    with meeting(tmp_path, ours(secret=Secret(b"another"))) as met:
        if begins == "charon":
            assert met.charon.initiate(check=False).returncode
            met.charon.wait("AUTH_FAILED|AUTHENTICATION_FAILED")
        else:
            met.ours.do("initiate", "link")
            assert met.ours.wait(IkeDown).reason == "refused: AUTHENTICATION_FAILED"
        assert not met.ours.of(ChildUp)


@WAYS
def test_no_common_proposal(tmp_path: Path, begins: str) -> None:
    """NO_PROPOSAL_CHOSEN for the IKE SA."""
    with meeting(tmp_path, ours(proposals=("aes128gcm16-prfsha512-ecp256",), timers=Timers(retransmit=200_000))) as met:
        if begins == "charon":
            assert met.charon.initiate(check=False).returncode
            met.charon.wait("NO_PROPOSAL_CHOSEN|NO_PROP")
        else:
            met.ours.do("initiate", "link")
            assert met.ours.wait(IkeDown).reason == "refused: NO_PROPOSAL_CHOSEN"


@WAYS
def test_another_group_is_asked_for(tmp_path: Path, begins: str) -> None:
    """INVALID_KE_PAYLOAD and a second try."""
    mine, theirs = "aes256gcm16-prfsha256-ecp256-x25519", "aes256gcm16-prfsha256-x25519"
    if begins == "charon":
        mine, theirs = theirs, mine
    with meeting(tmp_path, ours(proposals=(mine,)), proposals=theirs) as met:
        begin(met, begins)
        met.ping()


@WAYS
def test_cookies(tmp_path: Path, begins: str) -> None:
    """Either end under load asks for a cookie and gets it."""
    limits = Limits(cookies_from=0) if begins == "charon" else None
    with meeting(tmp_path, settings="cookie_threshold = 1\n  cookie_threshold_ip = 1", limits=limits) as met:
        if begins == "we":  # one set-up left half-open is what charon takes for load here
            stray = IkePeer("stray", [ours()], b"stray", Address(US, 501))
            (first,) = stray.initiate("link", now())
            assert isinstance(first, Transmit)
            met.ours.udp.send(OURS, 501, THEIRS, 500, first.payload)
            met.charon.wait("sending packet")
        begin(met, begins)
        met.charon.wait(r"N\(COOKIE\)")
        met.ping()


@WAYS
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_certificates_over_fragments(tmp_path: Path, begins: str, kind: Literal["ecdsa", "rsa"]) -> None:
    """Both ends sign (RFC 7427), in messages cut to 600 bytes (RFC 7383)."""
    ca = Authority()
    us, them = ca.end("emulator", kind), ca.end("charon", kind)
    trust = Trust(credentials(us.certificate, us.key), authorities(ca.certificate))
    files = charon_files(ca, them)
    mine = ours(secret=None, trust=trust, fragment=600)
    with meeting(tmp_path, mine, files=files, auth="pubkey", settings="fragment_size = 600") as met:
        begin(met, begins)
        met.charon.wait(r"EF\(1/")
        met.charon.wait("authentication of 'emulator' with (ECDSA|RSA)\\S* successful")
        met.ping()


def test_a_gateway_that_moved_is_followed(tmp_path: Path) -> None:
    """MOBIKE: we come from another address, and charon's next packets go there."""
    with meeting(tmp_path) as met:
        begin(met, "we")
        met.ping()
        there = int(IPv4Address("192.0.2.9"))
        met.ours.do("move", Address(there, 500))
        met.charon.wait(r"N\(UPD_SA_ADDR\)")
        end = time.monotonic() + 10
        while met.charon.sas()["link"]["remote-host"] != "192.0.2.9":
            assert time.monotonic() < end, met.charon.log()[-2000:]
            time.sleep(0.05)
        met.ping()
        assert not met.ours.of(IkeDown)


def test_a_charon_that_moved_is_followed(tmp_path: Path) -> None:
    """MOBIKE: charon loses its address and has another; it says so, and our next packets go there."""
    with meeting(tmp_path, local="%any") as met:
        begin(met, "charon")
        met.ping()
        met.place.ip(
            f"addr del {THEIRS}/24 dev wire", f"addr add {ELSEWHERE}/24 dev wire", "route replace default dev wire"
        )
        moved = met.ours.wait(PathChanged)
        assert moved.remote.ip == int(IPv4Address(ELSEWHERE))
        met.ping()
        assert not met.ours.of(IkeDown)


@WAYS
def test_each_may_ask_whether_the_other_lives(tmp_path: Path, begins: str) -> None:
    """Dead-peer detection, from one end at a time; the tunnel stands, and a ping needs no new one."""
    patient, curious = CALM, Timers(dpd_delay=300_000, rekey_child=0, rekey_ike=0, tries=8)
    asks = begins == "charon"
    timers, ike = (patient, "dpd_delay = 1s") if asks else (curious, "dpd_delay = 0s")
    with meeting(tmp_path, ours(timers=timers), ike=ike) as met:
        begin(met, begins)
        if asks:
            met.charon.wait("sending DPD request")
            met.charon.wait(r"parsed INFORMATIONAL response \d+ \[ \]")
        else:
            met.charon.wait(r"parsed INFORMATIONAL request \d+ \[ \]", times=2)
            assert "sending DPD request" not in met.charon.log()
        met.ping()
        assert len(met.ours.of(ChildUp)) == 1
        assert met.charon.sas()["link"]["state"] == "ESTABLISHED"


@pytest.mark.slow
@pytest.mark.parametrize("run", range(2))
def test_a_dead_charon_costs_six_seconds(tmp_path: Path, run: int) -> None:
    """The shipped profile, live: charon is killed and started again; pings get through after 5.0 to 6.0 s."""
    shipped = Timers(rekey_child=0, rekey_ike=0)
    with meeting(tmp_path, ours(timers=shipped, keep=True)) as met:
        begin(met, "we")
        met.ping()
        time.sleep(1.0 + run * 0.37)
        (sa,) = met.ours.peer.sas.values()
        met.charon.stop("KILL")
        died = now()
        met.charon.start()
        met.ours.wait(ChildUp, 2)
        back = next(at for at, one in reversed(met.ours.said) if type(one) is ChildUp)
        assert met.ours.wait(IkeDown).reason == "the peer is dead"
        met.ping()
        assert 4.7 <= (back - died) / 1e6 <= 6.3, (back - died, sa.heard)


def test_charon_is_not_troubled_by_anything_of_ours(tmp_path: Path) -> None:
    """Its log has no complaint of a malformed message after a whole life, and neither have our notes."""
    with meeting(tmp_path) as met:
        begin(met, "charon")
        met.charon.rekey(ike="link")
        met.ours.wait(IkeDown)
        met.ours.do("rekey_child", met.child().spi_in)
        met.ours.wait(ChildDown)
        complaint = "verification failed|integrity check|could not decrypt|invalid payload|unable to parse|malformed"
        assert not re.search(complaint, met.charon.log(), re.IGNORECASE)
        assert not [note for note in met.ours.of(Note) if note.kind in ("ike.malformed", "ike.refused")]
