"""The whole path over real sockets, in a process of its own: `smets1 serve`, and whoever calls it."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import served_kit as kit

from emulator.cli import main
from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import integer
from emulator.codecs.hdlc import DM, HDLC, HDLC_FRAME, LLC_REQUEST, SNRM, UA
from emulator.codecs.hdlc import address as wire
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dlms.client import Client
from emulator.fleet.estate import open_estate
from emulator.fleet.store import open_state
from emulator.headend import services

ELECTRICITY, GAS = 2, 3
PUBLIC = WRAPPER.build(Wrapper(16, ELECTRICITY, Client().associate(b"")))
DISCONNECT = MethodRef(70, services.SUPPLY.logical_name, 1)


def address(installation: int) -> str:
    number = 0x7F010001 + installation
    return socket.inet_ntoa(number.to_bytes(4, "big"))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The demo street, kept in a state, with hundreds of homes more."""
    folder = tmp_path_factory.mktemp("state") / "thousand"
    with kit.served("--estate", "thousand", "--state", str(folder)) as found:
        yield found


def test_the_ready_line_says_where(street: Any) -> None:
    """One JSON object: ports that are open, the process, the estate."""
    ready = street.ready
    assert ready["ready"] is True
    assert (ready["host"], ready["estate"], ready["installations"]) == ("127.1.0.1", "thousand", 1000)
    assert ready["pid"] == street.process.pid
    assert ready["port"] > 0 < ready["hdlc_port"]
    assert isinstance(ready["seed"], int)


def test_each_home_has_an_address_of_its_own(street: Any) -> None:
    """One listener, homes across the range: each answers with its own keys' counter, over TCP and over UDP."""
    for installation in (0, 254, 255, 511, 999):
        device = street.keys(installation, "electricity")
        assert device["host"] == address(installation)
        for udp in (False, True):
            with kit.Caller(device["host"], street.port, udp=udp) as caller:
                assert caller.counter(ELECTRICITY) == device["invocation_counter"]["value"]


def test_udp_is_answered_from_the_address_that_was_called(street: Any) -> None:
    """An unconnected socket sees the source of each answer: the home's own address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(kit.PATIENCE)
        for installation in (3, 700):
            caller.sendto(PUBLIC, (address(installation), street.port))
            frame, source = caller.recvfrom(4096)
            assert source == (address(installation), street.port)
            assert WRAPPER.parse(frame).payload[:1] == b"\x61"


def test_an_association_over_udp_lasts_from_datagram_to_datagram(street: Any) -> None:
    """HLS in four passes and a read: five datagrams each way."""
    device = street.keys(20, "electricity")
    with kit.Caller(device["host"], street.port, udp=True) as caller:
        client = caller.managed(device)
        assert caller.talk(client, 1, ELECTRICITY, client.get(services.CLOCK)).value


def own_address() -> str | None:
    """An address of this machine that is not loopback; None where it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


def heard_from(host: str, port: int) -> bytes:
    """What comes back from there; nothing where nobody listens or the connection is closed. Raises TimeoutError."""
    try:
        with socket.create_connection((host, port), timeout=2) as caller:
            caller.sendall(PUBLIC)
            return caller.recv(4096)
    except ConnectionError:
        return b""


def test_nothing_is_served_beyond_loopback(street: Any) -> None:
    """By the address of a network card there is nobody: TCP is refused or closed without a byte, UDP is silent."""
    outside = own_address()
    if outside is None:
        pytest.skip("this machine has no address but loopback")
    for port in (street.port, street.ready["hdlc_port"]):
        assert heard_from(outside, port) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(0.2)
        caller.sendto(PUBLIC, (outside, street.port))
        with pytest.raises((TimeoutError, ConnectionError)):
            caller.recvfrom(4096)


@pytest.mark.parametrize("called", ["127.0.0.1", "127.0.255.255", "127.1.3.233", "127.200.0.1"])
def test_loopback_addresses_of_no_home_are_refused(street: Any, called: str) -> None:
    """Before the first home, and behind the last."""
    with socket.create_connection((called, street.port), timeout=kit.PATIENCE) as caller:
        assert closed(caller)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(0.05)
        caller.sendto(PUBLIC, (called, street.port))
        with pytest.raises(TimeoutError):
            caller.recvfrom(4096)


def closed(caller: socket.socket) -> bool:
    """Whether the other side has ended the connection without a word."""
    caller.settimeout(kit.PATIENCE)
    try:
        return caller.recv(4096) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x02" + PUBLIC[2:],
        PUBLIC[:6] + b"\xff\xff" + PUBLIC[8:],
        PUBLIC[:6] + b"\x00\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
    ids=["http", "version", "oversized", "empty", "tls"],
)
def test_a_malformed_header_ends_the_connection(street: Any, bytes_: bytes) -> None:
    """Closed without an answer; the next connection is served."""
    with socket.create_connection((address(1), street.port), timeout=kit.PATIENCE) as caller:
        caller.sendall(bytes_)
        assert closed(caller)
    with kit.Caller(address(1), street.port) as caller:
        assert caller.counter(ELECTRICITY) > 0


def test_bad_datagrams_are_dropped_alone(street: Any) -> None:
    """Cut, bent, with too much behind: silence; the good one after them is answered."""
    with kit.Caller(address(2), street.port, udp=True) as caller:
        for bad in (b"", b"x", PUBLIC[:-1], PUBLIC + b"x", b"\x00\x02" + PUBLIC[2:], bytes(9_000)):
            caller.socket.send(bad)
        caller.socket.send(PUBLIC)
        assert caller.hear().payload[:1] == b"\x61"
        caller.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            caller.hear()


def test_a_frame_may_come_in_single_bytes_and_many_at_once(street: Any) -> None:
    """A slow sender is put together; a whole pipeline in one segment is answered frame by frame, in order."""
    with kit.Caller(address(4), street.port) as caller:
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(PUBLIC)):
            caller.socket.send(PUBLIC[at : at + 1])
        assert caller.hear().payload[:1] == b"\x61"
        client = Client()
        caller.talk(client, 16, ELECTRICITY, client.associate(b""))
        reads = [WRAPPER.build(Wrapper(16, ELECTRICITY, client.get(services.DEVICE_NAME))) for _ in range(20)]
        caller.socket.sendall(b"".join(reads))
        answers = [caller.hear().payload for _ in reads]
        assert [answer[2] for answer in answers] == [WRAPPER.parse(read).payload[2] for read in reads]


def test_a_half_closed_connection_is_still_answered(street: Any) -> None:
    """The client has said all it had to say: the answer comes, then the end."""
    with socket.create_connection((address(5), street.port), timeout=kit.PATIENCE) as caller:
        caller.sendall(PUBLIC)
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(4096)[8:9] == b"\x61"
        assert closed(caller)


def test_floods_and_garbage_do_not_starve_others(street: Any) -> None:
    """While some send garbage, some flood without reading and some sit on half a frame, another client's twenty reads
    each come back within two seconds."""
    stop = threading.Event()

    def flood(installation: int, what: bytes) -> None:
        while not stop.is_set():
            try:
                with socket.create_connection((address(installation), street.port), timeout=1) as caller:
                    while not stop.is_set():
                        caller.sendall(what)
            except OSError:
                pass

    silent = [socket.create_connection((address(30 + n), street.port), timeout=kit.PATIENCE) for n in range(50)]
    for each in silent:
        each.sendall(PUBLIC[:5])
    crowd = [threading.Thread(target=flood, args=each) for each in ((40, PUBLIC * 50), (41, b"\xff" * 999))]
    for each in crowd:
        each.start()
    try:
        time.sleep(0.2)
        slowest = 0.0
        with kit.Caller(address(42), street.port) as caller:
            client = caller.public(ELECTRICITY)
            for _ in range(20):
                began = time.monotonic()
                caller.talk(client, 16, ELECTRICITY, client.get(services.DEVICE_NAME))
                slowest = max(slowest, time.monotonic() - began)
    finally:
        stop.set()
        for each in crowd:
            each.join(5)
        for each in silent:
            each.close()
    assert slowest < 2.0


def test_hdlc_over_tcp_finds_its_feet_again(street: Any) -> None:
    """Noise before a frame and between frames is skipped; a hub has no optical head; nobody else is on the line."""
    def snrm(upper: int) -> bytes:
        return HDLC_FRAME.build(HDLC(wire(upper, 17), wire(16), SNRM, False, b""))

    with socket.create_connection((address(6), street.ready["hdlc_port"]), timeout=kit.PATIENCE) as caller:
        caller.sendall(b"\x00\xff noise \x7e\x7e" + snrm(99) + b"\x7e\xa0" + snrm(ELECTRICITY))
        assert HDLC_FRAME.parse(caller.recv(4096)).control == UA
        caller.sendall(snrm(1))
        assert HDLC_FRAME.parse(caller.recv(4096)).control == DM
        request = LLC_REQUEST + Client().associate(b"")
        caller.sendall(HDLC_FRAME.build(HDLC(wire(ELECTRICITY, 17), wire(16), 0x10, False, request)))
        answer = HDLC_FRAME.parse(caller.recv(4096))
        assert (answer.control, answer.information[:4]) == (0x30, b"\xe6\xe7\x00\x61")


Said = tuple[int, str, str]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """The command in this process: exit code, stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_keys_print_a_table_and_say_what_a_display_has(street: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json, for people."""
    homes = (street.keys(number) for number in range(20))
    number = next(at for at, devices in enumerate(homes) if devices[-1]["kind"] == "ihd")
    code, out, _ = said(capsys, "keys", "--estate", "thousand", "--installation", str(number))
    assert code == 0
    assert "no keys" in out
    assert street.keys(number, "electricity")["server_system_title"] in out


def test_keys_of_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A home that there is none of, a folder without a state: one line, exit code 2."""
    for arguments in (["--installation", "16"], ["--installation", "0", "--state", "/nowhere/at/all"]):
        code, out, err = said(capsys, "keys", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_a_port_in_use_is_one_clear_line(street: Any) -> None:
    """Exit code 2, nothing on stdout, and what to do."""
    done = kit.smets1("serve", "--port", str(street.port))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {street.port} is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("host", "word"),
    [
        ("10.0.0.0/8", "--listen-beyond-loopback"),
        ("0.0.0.0/0", "--listen-beyond-loopback"),
        ("127.1.2.3/8", "127.0.0.0/8"),
        ("127.0.0.0/30", "room"),
    ],
)
def test_a_network_that_will_not_do_is_refused(host: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One that others could reach without the flag that says so, none at all, and one that is too small."""
    code, out, err = said(capsys, "serve", "--host", host, "--port", "0")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert word in err


def test_a_re_keyed_and_switched_off_meter_stays_so_across_an_end(tmp_path: Path) -> None:
    """SIGTERM, then again with the same state: the supply is still off, keys and counters are those that `keys` says,
    no send counter comes twice, and neither log holds a key."""
    state = str(tmp_path / "state")
    with kit.served("--state", state) as first:
        device = first.keys(0, "electricity")
        with kit.Caller(device["host"], first.port) as caller:
            client = caller.managed(device)
            caller.talk(client, 1, ELECTRICITY, client.action(DISCONNECT, integer(0)))
        assert first.stop() == 0
    after = first.keys(0, "electricity")
    assert after["invocation_counter"]["value"] > device["invocation_counter"]["value"]
    with kit.served("--state", state) as second:
        assert second.keys(0, "electricity") | {"port": 0} == after | {"port": 0}
        with kit.Caller(device["host"], second.port) as caller:
            client = caller.managed(after)
            assert caller.talk(client, 1, ELECTRICITY, client.get(services.SUPPLY)).value == 0
        assert second.stop(signal.SIGINT) == 0
    for text in (first.errors, second.errors):
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
        assert not any(device[name] in text for name in ("ek", "ak", "kek"))
    assert [line["event"] for line in second.log] == ["shell.serving", "shell.stopped"]


def test_an_end_under_load_loses_no_acknowledged_change(tmp_path: Path) -> None:
    """Four clients switch supplies without a pause when the signal comes: exit code 0, and every request that was
    acknowledged is in the state, so its counter is not accepted again."""
    state = str(tmp_path / "state")
    acknowledged: dict[int, int] = {}
    homes = (0, 1, 2, 8)
    with kit.served("--state", state) as found:
        devices = {home: found.keys(home, "electricity") for home in homes}
        going = threading.Barrier(len(homes) + 1)

        def switch(home: int) -> None:
            with kit.Caller(devices[home]["host"], found.port) as caller:
                client = caller.managed(devices[home])
                going.wait(kit.PATIENCE)
                try:
                    for _ in range(100_000):
                        caller.talk(client, 1, ELECTRICITY, client.action(DISCONNECT, integer(0)))
                        acknowledged[home] = client.store.counters(0)[0]
                except OSError:
                    pass

        crowd = [threading.Thread(target=switch, args=(home,)) for home in homes]
        for each in crowd:
            each.start()
        going.wait(kit.PATIENCE)
        time.sleep(0.3)
        assert found.stop(signal.SIGTERM) == 0, found.errors
        for each in crowd:
            each.join(kit.PATIENCE)
    assert set(acknowledged) == set(homes)
    for home in homes:
        assert found.keys(home, "electricity")["invocation_counter"]["value"] >= acknowledged[home]


def test_another_estates_state_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says whose state it is."""
    state = str(tmp_path / "state")
    open_state(state, open_estate("demo-street")).close()
    code, out, err = said(capsys, "serve", "--state", state, "--port", "0", "--seed", "99")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "seed" in err
