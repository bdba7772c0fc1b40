"""Mosquitto carries the bus and judges it: a broker and clients that nobody here wrote.

Everything is done with mosquitto_pub, mosquitto_sub and mosquitto_rr: what they can do, a test suite in any language
can. Brokers listen on loopback and free ports, and every process is ended by its own id.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.stranger

if "served_kit" not in sys.modules:
    _path = Path(__file__).parents[1] / "shell" / "served_kit.py"
    _spec = importlib.util.spec_from_file_location("served_kit", _path)
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["served_kit"] = _module
    _spec.loader.exec_module(_module)

kit: Any = sys.modules["served_kit"]

ROOT = "smets1/demo-street"
PATIENCE = 15.0
USER, PASSWORD = "estate", "correct horse battery"


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


def until(what: Callable[[], Any], why: str) -> Any:
    """What it gives, as soon as that is anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {why}")


class Mosquitto:
    """A broker on one port, which can be killed and started again."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.settings = folder / f"mosquitto-{self.port}.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        self.settings.write_text(f"{user}listener {self.port} 127.0.0.1\n" + "\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[Sub] = []
        self.client_options: list[str] = ["-h", "127.0.0.1", "-p", str(self.port)]

    def start(self) -> None:
        command = [program("mosquitto"), "-c", str(self.settings)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "mosquitto listens")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def stop(self) -> None:
        for each in self.clients:
            each.stop()
        self.kill()

    # Clients

    def publish(self, topic: str, payload: str | bytes, *options: str) -> None:
        command = [program("mosquitto_pub"), *self.client_options, "-q", "1", "-t", topic, "-s", *options]
        payload = payload.encode() if isinstance(payload, str) else payload
        subprocess.run(command, input=payload, check=True, timeout=PATIENCE, capture_output=True)

    def command(self, path: str, **body: Any) -> None:
        self.publish(f"{ROOT}/command/{path}", json.dumps(body))

    def subscribe(self, *topics: str) -> "Sub":
        """Hears topics from now on: returns when the broker has acknowledged."""
        found = Sub([program("mosquitto_sub"), *self.client_options], topics)
        self.clients.append(found)
        return found


class Sub:
    """mosquitto_sub -v, with what it heard so far."""

    def __init__(self, command: list[str], topics: tuple[str, ...]) -> None:
        filters = [part for topic in topics for part in ("-t", topic)]
        # Unbuffered, line by line; -d says when the broker has taken the subscriptions.
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", *command, "-d", "-q", "1", "-F", "message %r %t %p", *filters],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""
        self._ready = False
        self.messages: list[tuple[str, str]] = []
        self.retained: list[tuple[str, str]] = []
        until(lambda: self.look() and self._ready, "mosquitto_sub subscribes")

    def look(self) -> bool:
        assert self.process.stdout is not None
        while piece := self.process.stdout.read(1 << 16):
            self._rest += piece
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if line.startswith(b"message "):
                _, retained, topic, payload = line.decode().split(" ", 3)
                (self.retained if retained == "1" else self.messages).append((topic, payload))
            elif line.startswith(b"Subscribed"):
                self._ready = True
        return True

    def wait(self, fits: Callable[[str, str], Any], why: str) -> Any:
        """The first message for which `fits(topic, payload)` gives something: that."""

        def search() -> Any:
            self.look()
            both = self.retained + self.messages
            return next((found for topic, payload in both if (found := fits(topic, payload))), None)

        return until(search, why)

    def answer(self, request: str, *, task: bool = False) -> Any:
        """The answer to a request; the last word, unless `task`."""

        def fits(topic: str, payload: str) -> Any:
            if topic != f"{ROOT}/answer/{request}":
                return None
            found = json.loads(payload)
            return found if ("task" in found) == task else None

        return self.wait(fits, f"an answer to {request}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto, open to anybody on loopback."""
    found = Mosquitto(tmp_path, "allow_anonymous true")
    try:
        found.start()
        yield found
    finally:
        found.stop()


@dataclass
class Street:
    """A served estate, its broker, and somebody who hears everything."""

    broker: Mosquitto
    estate: Any
    everything: Sub


@contextmanager
def served(broker: Mosquitto, *options: str) -> Iterator[Any]:
    scheme = "mqtts" if "--mqtt-ca" in options else "mqtt"
    with kit.served("--mqtt", f"{scheme}://127.0.0.1:{broker.port}", *options) as found:
        yield found


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Shared, as starting one takes a second; every test names its requests differently."""
    folder = tmp_path_factory.mktemp("street")
    broker = Mosquitto(folder, "allow_anonymous true")
    options = ("--mqtt-journal", "both", "--mqtt-alerts", "both", "--mqtt-alarms", "both", "--mqtt-batch-ms", "50")
    try:
        broker.start()
        with served(broker, *options, "--alerts", "0", "--state", str(folder / "state")) as estate:
            yield Street(broker, estate, broker.subscribe("#"))
    finally:
        broker.stop()


def test_everything_by_pub_and_sub_alone(street: Street) -> None:
    """A home is read, switched, re-keyed, disturbed and put back; journal, alerts and alarms tell of it, one by
    one and in batches; the ready line and a retained message say where all this is; and no key is on any topic."""
    broker, estate, everything = street.broker, street.estate, street.everything
    assert estate.ready["mqtt"]["prefix"] == ROOT
    assert estate.ready["mqtt"]["connected"]
    about = everything.wait(lambda t, p: t == f"{ROOT}/about" and json.loads(p), "what is served")
    assert (about["port"], about["installations"]) == (estate.port, 16)
    before = estate.keys(1)
    meter = "installations/1/electricity"

    broker.command("status", request="status")
    assert everything.answer("status")["answer"]["installations"] == 16
    broker.command(f"{meter}/read-object", request="read", what="clock")
    assert everything.answer("read")["answer"]["time"].startswith("2020-03-0")
    broker.command(f"{meter}/set-supply", request="off", state="off")
    assert everything.answer("off")["answer"] == {"supply": "off"}
    broker.command("installations/1/state", request="state")
    state = everything.answer("state")["answer"]
    assert next(each for each in state["devices"] if each["kind"] == "electricity")["supply"] == "off"
    everything.wait(
        lambda t, p: t.startswith(f"{ROOT}/journal/1/electricity/") and json.loads(p)["number"], "a journal entry"
    )
    broker.command(f"{meter}/rotate-keys", request="keys")
    assert everything.answer("keys")["answer"] == {"data": 1, "master": 1}
    after = estate.keys(1)

    # Alerts go where the meter was told: to this head end from now on.
    destination = {"structure": [{"enum": 1}, {"octet-string": b"10.0.0.1:4061".hex()}, {"enum": 0}]}
    broker.command(f"{meter}/write-object", request="push", what="40/0-0:25.9.0", attribute=3, value=destination)
    assert "error" not in everything.answer("push")
    broker.command(f"{meter}/raise-alert", request="alert", code=0x8F1D, text="seen")
    everything.answer("alert")
    alert = everything.wait(
        lambda t, p: t == f"{ROOT}/alert/1/electricity" and json.loads(p), "the meter's alert, one by one"
    )
    assert (alert["code"], bytes.fromhex(alert["body"]), alert["vouched"]) == (0x8F1D, b"seen", True)
    batch = everything.wait(
        lambda t, p: t == f"{ROOT}/batch/alert" and "36637" in p and json.loads(p), "the meter's alert, in a batch"
    )
    assert alert in batch["entries"]

    alarm = everything.wait(
        lambda t, p: t.startswith(f"{ROOT}/alarm/1/electricity/") and json.loads(p), "it told as an alarm"
    )
    assert (alarm["code"], alarm["count"]) == (0x8F1D, 1)

    broker.command("take-snapshot", request="snap", name="now")
    broker.command("inject-fault", request="fault", fault="link-outage", settings={"seconds": 5})
    broker.command("set-speed", request="stand", speed=0)
    broker.command("step-clock", request="step", seconds=60)
    broker.command("reset-home", request="bad")
    broker.command("installations/1/reset-home", request="reset")
    broker.command("verify", request="sure", expect=[{"kind": "keys.installed", "at_least": 3, "at_most": 3}])
    for request in ("snap", "stand", "step", "reset", "sure"):
        assert "answer" in everything.answer(request), everything.answer(request)
    assert everything.answer("sure")["answer"]["fulfilled"]
    assert "installations/{installation}/reset-home" in everything.answer("bad")["cure"]

    assert {each["ek"] for each in before} != {each["ek"] for each in after}

    heard = "\n".join(f"{topic} {payload}" for topic, payload in everything.messages + everything.retained).lower()
    numbers = [json.loads(p)["number"] for t, p in everything.messages if t.startswith(f"{ROOT}/journal/")]
    batches = [json.loads(p) for t, p in everything.messages if t == f"{ROOT}/batch/journal"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    batched = [entry["number"] for batch in batches for entry in batch["entries"]]
    assert batched == list(range(batched[0], batched[0] + len(batched)))
    assert len(batched) > 20
    keys = {device[name] for device in before + after for name in ("ek", "ak", "kek") if device.get(name)}
    assert len(keys) >= 9
    for key in keys:
        assert key.lower() not in heard


def test_mistakes_are_answered(street: Street) -> None:
    """A payload that is no JSON, a command that is none, a wrong field, a retained command: what, where, what to do."""
    broker = street.broker
    answers = broker.subscribe(f"{ROOT}/answer/#")
    broker.publish(f"{ROOT}/command/clock", b"\xff{nonsense")
    answers.wait(lambda t, p: t == f"{ROOT}/answer" and json.loads(p)["where"] == "payload", "no JSON")
    broker.command("make-tea", request="tea")
    answer = answers.answer("tea")
    assert answer["where"] == "command"
    assert "press-boost" in answer["cure"]
    broker.command("installations/99/state", request="far")
    assert answers.answer("far")["cure"] == "give 0 to 15"
    broker.command("installations/0/electricity/press-boost", request="six", switch=6)
    assert answers.answer("six")["where"] == "switch"
    broker.publish(f"{ROOT}/command/clock", b'{"request": "kept"}', "-r")
    # To who is subscribed already a retained message comes as any other.
    assert "answer" in answers.answer("kept")
    broker.command("clock", request="after")
    assert "answer" in answers.answer("after")


def test_a_repeated_wish_is_done_once(street: Street) -> None:
    """The same request name and wish gets the first answer again, and the keys are not changed a second time."""
    broker, estate = street.broker, street.estate
    answers = broker.subscribe(f"{ROOT}/answer/#")
    broker.command("installations/1/electricity/rotate-keys", request="once")
    assert answers.answer("once")["answer"]["data"] == 1
    keys = estate.keys(1)
    answers.messages.clear()
    broker.command("installations/1/electricity/rotate-keys", request="once")
    again = answers.answer("once")
    assert again["repeated"]
    assert again["answer"]["data"] == 1
    assert [each["ek"] for each in estate.keys(1)] == [each["ek"] for each in keys]
    answers.messages.clear()
    broker.command("installations/1/gas/rotate-keys", request="once")
    assert answers.answer("once")["where"] == "request"


def test_request_and_response_of_mqtt_5(street: Street) -> None:
    """mosquitto_rr asks with a response topic and correlation data, and gets its answer there."""
    command = [program("mosquitto_rr"), *street.broker.client_options, "-q", "1", "-W", "10"]
    command += ["-t", f"{ROOT}/command/clock", "-e", "my/own/inbox", "-D", "publish", "correlation-data", "c-17"]
    done = subprocess.run(
        [*command, "-m", "{}", "-F", "%t %D %p"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    topic, correlation, payload = done.stdout.strip().split(" ", 2)
    assert (topic, correlation) == ("my/own/inbox", "c-17")
    assert "speed" in json.loads(payload)["answer"]


def test_the_last_will_is_seen_when_it_is_killed(broker: Mosquitto) -> None:
    """A stranger sees online, and offline when the emulator is killed -9; a late comer sees it too, as it is kept."""
    with served(broker) as estate:
        status = broker.subscribe(f"{ROOT}/status")
        status.wait(lambda t, p: p == "online", "online")
        assert status.retained == [(f"{ROOT}/status", "online")]
        estate.stop(signal.SIGKILL)
        status.wait(lambda t, p: p == "offline", "the last will")
        late = broker.subscribe(f"{ROOT}/status")
        late.wait(lambda t, p: p == "offline", "the last will, kept")


def test_a_broker_that_dies_and_comes_back(broker: Mosquitto) -> None:
    """Killed and started again without memory: the emulator is back by itself, commands are heard, and the journal of
    the time between is published without a gap."""
    with served(broker, "--mqtt-journal", "one") as estate:
        first = broker.subscribe(f"{ROOT}/#")
        broker.command("installations/1/electricity/read-object", request="before", what="clock")
        first.answer("before")
        broker.command("status", request="so-far")
        last = first.answer("so-far")["answer"]["journal"]
        first.wait(lambda t, p: ("/journal/" in t and json.loads(p)["number"] == last) or None, "the journal so far")
        broker.kill()
        first.stop()
        # Something happens while no broker is there: a client reads over a socket of its own.
        device = estate.keys(2, "electricity")
        with kit.Caller(device["host"], estate.port) as caller:
            caller.counter(device["server_sap"])
        os.kill(estate.process.pid, signal.SIGSTOP)  # so that somebody listens before it is back
        broker.start()
        second = broker.subscribe(f"{ROOT}/#")
        os.kill(estate.process.pid, signal.SIGCONT)
        second.wait(lambda t, p: (t, p) == (f"{ROOT}/status", "online"), "online again")
        second.wait(lambda t, p: t.startswith(f"{ROOT}/journal/2/") or None, "the journal of the time between")
        broker.command("clock", request="after")
        assert second.answer("after")["answer"]["speed"] == 1.0
        come = [json.loads(p)["number"] for t, p in second.messages if "/journal/" in t]
        assert come[0] <= last + 1  # one that the dead broker had not acknowledged comes twice
        assert come == list(range(come[0], come[0] + len(come)))
        assert estate.stop() == 0
        second.wait(lambda t, p: (t, p) == (f"{ROOT}/status", "offline"), "the farewell")
    events = [each["event"] for each in estate.log]
    assert "mqtt.away" in events
    assert events.count("mqtt.connected") == 2


def test_it_may_start_before_its_broker(tmp_path: Path) -> None:
    """Without a broker the estate is served, says so, and is on the broker as soon as there is one."""
    broker = Mosquitto(tmp_path, "allow_anonymous true")
    try:
        with served(broker) as estate:
            assert estate.ready["mqtt"]["connected"] is False
            broker.start()
            status = broker.subscribe(f"{ROOT}/status")
            status.wait(lambda t, p: p == "online", "online")
            assert estate.stop() == 0
    finally:
        broker.stop()


def test_the_embedded_broker_by_mosquitto_s_clients() -> None:
    """Without any broker of one's own: the ready line's port and password are all that a stranger needs."""
    pytest.importorskip("amqtt")
    with kit.served("--mqtt", "embedded") as estate:
        told = estate.ready["mqtt"]
        assert told["embedded"]
        port = told["broker"].rpartition(":")[2]
        options = ["-h", "127.0.0.1", "-p", port, "-u", told["user"], "-P", told["password"]]
        found = Sub([program("mosquitto_sub"), *options], (f"{ROOT}/#",))
        try:
            found.wait(lambda t, p: (t, p) == (f"{ROOT}/status", "online"), "online")
            topic = f"{ROOT}/command/installations/1/electricity/read-object"
            command = [program("mosquitto_pub"), *options, "-q", "1", "-t", topic, "-s"]
            asked = b'{"request": "r", "what": "clock"}'
            subprocess.run(command, input=asked, check=True, timeout=PATIENCE, capture_output=True)
            assert found.answer("r")["answer"]["object"] == "0-0:1.0.0.255"
            assert estate.stop() == 0
        finally:
            found.stop()
        assert told["password"] not in estate.errors


# TLS and credentials


def authority(folder: Path) -> None:
    """A certificate authority, the broker's certificate for 127.0.0.1, and one for a client; with everything that
    Python from 3.13 on asks for (RFC 5280's key identifiers and usage)."""
    now = datetime.now(UTC)

    def issue(name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        of, signer = issuer or (subject, key)
        alternatives = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        usage = x509.KeyUsage(
            digital_signature=issuer is not None,
            key_cert_sign=issuer is None,
            crl_sign=issuer is None,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(of)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(alternatives, critical=False)
            .sign(signer, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return key

    signer = issue("ca", None)
    by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]), signer)
    issue("broker", by)
    issue("client", by)
    issue("stranger", None)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto behind TLS, certificates of clients and a password."""
    authority(tmp_path)
    passwords = tmp_path / "passwords"
    subprocess.run(
        [shutil.which("mosquitto_passwd") or program("mosquitto"), "-b", "-c", str(passwords), USER, PASSWORD],
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )
    found = Mosquitto(
        tmp_path,
        "allow_anonymous false",
        f"password_file {passwords}",
        f"cafile {tmp_path / 'ca.pem'}",
        f"certfile {tmp_path / 'broker.pem'}",
        f"keyfile {tmp_path / 'broker.key'}",
        "require_certificate true",
    )
    found.client_options += ["-u", USER, "-P", PASSWORD, "--cafile", str(tmp_path / "ca.pem")]
    found.client_options += ["--cert", str(tmp_path / "client.pem"), "--key", str(tmp_path / "client.key")]
    try:
        found.start()
        yield found
    finally:
        found.stop()


def options_of(folder: Path, *, ca: str = "ca", password: str = PASSWORD) -> list[str]:
    credentials = folder / "credentials"
    credentials.write_text(f"{USER}:{password}\n")
    return [
        *("--mqtt-credentials", str(credentials), "--mqtt-ca", str(folder / f"{ca}.pem")),
        *("--mqtt-cert", str(folder / "client.pem"), "--mqtt-key", str(folder / "client.key")),
    ]


def test_tls_and_credentials(guarded: Mosquitto, tmp_path: Path) -> None:
    """Over TLS with certificates on both sides and a password from a file, which is in no log."""
    with served(guarded, *options_of(tmp_path)) as estate:
        assert estate.ready["mqtt"]["connected"], estate.stop() or estate.errors
        assert estate.ready["mqtt"]["broker"] == f"mqtts://127.0.0.1:{guarded.port}"
        answers = guarded.subscribe(f"{ROOT}/answer/#")
        guarded.command("clock", request="c")
        assert "answer" in answers.answer("c")
        assert estate.stop() == 0
        assert PASSWORD not in estate.errors + json.dumps(estate.ready)


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [({"ca": "stranger"}, "--mqtt-ca"), ({"password": "wrong"}, "--mqtt-credentials")],
    ids=["authority", "password"],
)
def test_who_is_not_trusted(guarded: Mosquitto, tmp_path: Path, wrong: dict[str, str], cure: str) -> None:
    """A broker of another authority is not spoken to, a wrong password is refused; both are one line with its cure,
    and the estate is served all the same."""
    with served(guarded, *options_of(tmp_path, **wrong)) as estate:
        assert estate.ready["mqtt"]["connected"] is False
        assert estate.stop() == 0
    away = [each for each in estate.log if each["event"] == "mqtt.away"]
    assert away
    assert cure in away[0]["cure"]
    assert "wrong" not in estate.errors


def test_a_wrong_option_is_one_line() -> None:
    """Nothing is opened: exit code 2 and one sentence."""
    for options, says in (
        (["--mqtt", "mqtt://me:hunter2@127.0.0.1"], "--mqtt-credentials"),
        (["--mqtt", "mqtts://127.0.0.1", "--mqtt-ca", "/nonexistent.pem"], "no such file"),
        (["--mqtt", "embedded", "--mqtt-prefix", "a/#"], "topic prefix"),
    ):
        done = kit.smets1("serve", "--port", "0", *options)
        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
        assert "hunter2" not in done.stderr
