"""`smets1 link` and the options of `smets1 serve`: what is printed loads, and what is asked of a server is done."""

import importlib.util
import json
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from emulator.cli import group
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS_FRAME
from emulator.codecs.udp import UDP_FRAME
from emulator.link.ike.suites import ESP, IKE, offers
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.static import load
from emulator.shell.mpls_udp import label_pairs

for _path in (Path(__file__).parent / "served_kit.py", Path(__file__).parents[1] / "strangers" / "certificate_kit.py"):
    if _path.stem not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_path.stem, _path)
        assert _spec is not None
        assert _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_path.stem] = _module
        _spec.loader.exec_module(_module)

kit: Any = sys.modules["served_kit"]
certificates: Any = sys.modules["certificate_kit"]

SECRET = "correct horse battery staple"


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(group, list(words), env=environment or None)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "psk"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Both doors open, on any ports."""
    file = tmp_path_factory.mktemp("key") / "psk"
    file.write_text(SECRET)
    file.chmod(0o600)
    gateway = ["--ike-address", "127.0.0.1", "--ike-port", "0", "--natt-port", "0", "--psk-file", str(file)]
    labels = ["--mpls-address", "127.0.0.1", "--mpls-port", "0"]
    with kit.served("--link", "ipsec", *gateway, *labels) as found:
        yield found


def asked(street: Any, *words: str) -> Any:
    done = run("link", *words, SMETS1_URL=street.ready["http"], SMETS1_TOKEN=street.ready["token"])
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_strongswan_is_told_everything_but_the_key() -> None:
    """Addresses, identities, the inner addresses, the six seconds' profile, and proposals that our gateway has."""
    tunnel = ["--ike-address", "192.0.2.1", "--local-id", "hubs.example", "--remote-id", "dc.example"]
    done = run("link", "config", "--estate", "thousand", *tunnel, "--users", "10.0.0.0/24")
    assert done.exit_code == 0, done.exception
    text = done.stdout
    assert "remote_addrs = 192.0.2.1\n" in text
    assert "remote_port" not in text, "on the standard ports charon finds its way"
    assert text.count("hubs.example") >= 2 <= text.count("dc.example")
    assert "home 0: 10.128.0.0    home 999: 10.128.3.231" in text
    assert "remote_ts = 10.128.0.0/9" in text
    assert "local_ts = 10.0.0.0/24" in text
    assert re.search(r"retransmit_timeout = 1.0\s+retransmit_base = 1\s+retransmit_tries = 4", text)
    assert "dpd_delay = 1s" in text
    for word, protocol in (("proposals", IKE), ("esp_proposals", ESP)):
        found = re.search(rf"^ *{word} = (.*)$", text, re.MULTILINE)
        assert found is not None
        assert offers(tuple(found[1].split(",")), protocol), "every word is one we know"
    assert text.count("{") == text.count("}")
    assert max(map(len, text.splitlines())) < 140


def test_other_ports_are_told_and_any_port_is_not() -> None:
    text = run("link", "config", "--ike-port", "1500", "--natt-port", "14500").stdout
    assert "local_port = 4500\n    remote_port = 14500" in text
    done = run("link", "config", "--natt-port", "0")
    assert "which ports" in str(done.exception)


def test_the_key_is_written_for_its_owner_alone(key: Path, tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    done = run("link", "config", "--write", str(folder), "--psk-file", str(key))
    assert done.exit_code == 0, done.exception
    assert SECRET not in done.output
    hidden = folder / "smets1-secrets.conf"
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o600
    assert f"secret = 0x{SECRET.encode().hex()}" in hidden.read_text()
    for name in ("swanctl.conf", "strongswan.conf"):
        text = (folder / name).read_text()
        assert SECRET not in text
        assert SECRET.encode().hex() not in text
        assert f"include {hidden.name}" in text
    hidden.chmod(0o644)  # written again it is safe again
    assert run("link", "config", "--write", str(folder), "--psk-file", str(key)).exit_code == 0
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o600


@pytest.fixture
def signed(tmp_path: Path) -> list[str]:
    """Options by which both gateways sign, ours as hubs.example."""
    authority = certificates.Authority()
    certificate, key = authority.end("hubs.example").write(tmp_path, "ours")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    return ["--cert-file", str(certificate), "--ca-file", str(tmp_path / "ca.pem"), "--key-file", str(key)]


def test_certificates_take_the_place_of_the_key(signed: list[str], key: Path, tmp_path: Path) -> None:
    """Of either end: who signs is to be believed by its certificate, and a key stands there only for who does not."""
    ours, theirs, name = signed[:2], signed[2:4], ["--local-id", "hubs.example"]
    done = run("link", "config", *name, *ours, *theirs, "--write", str(tmp_path / "conf"))
    assert done.exit_code == 0, done.exception
    assert sorted(path.name for path in (tmp_path / "conf").iterdir()) == ["strongswan.conf", "swanctl.conf"]
    text = (tmp_path / "conf" / "swanctl.conf").read_text()
    assert re.findall(r"auth = (\w+)", text) == ["pubkey", "pubkey"]
    assert "include" not in text
    assert "x509ca/: the authority of hubs.example" in text
    assert text.count("{") == text.count("}")
    for words, proofs in ((ours, ["psk", "pubkey"]), (theirs, ["pubkey", "psk"])):
        text = run("link", "config", *name, *words).stdout
        assert re.findall(r"auth = (\w+)", text) == proofs, "theirs is the local one"
        assert "include smets1-secrets.conf" in text
        assert "--psk-file" in str(run("link", "config", *name, *words, "--write", str(tmp_path / "half")).exception)
    done = run("link", "config", *name, *ours, "--write", str(tmp_path / "half"), "--psk-file", str(key))
    assert done.exit_code == 0, done.exception


def test_half_a_wish_is_refused(key: Path, tmp_path: Path, signed: list[str]) -> None:
    """In one line that says what to do; nothing is served or written."""
    here = ["--ike-address", "127.0.0.1"]
    for words, cure in (
        (["serve", *here, *signed[:2]], "--key-file"),
        (["serve", *here, *signed[:2], *signed[4:]], "--ca-file"),
        (["serve", *here, *signed[2:4]], "--psk-file"),
        (["serve", *signed], "--ike-address"),
        (["serve", "--port", "0", "--link", "ipsec", *here, *signed], "subjectAltNames with --local-id"),
        (["link", "config", *signed[:4]], "does not speak for hubs.operator.example"),
        (["link", "config", "--ca-file", str(key)], "not PEM certificates"),
        (["serve", "--ike-address", "127.0.0.1"], "--psk-file"),
        (["serve", "--psk-file", str(key)], "--ike-address"),
        (["link", "config", "--write", str(tmp_path / "conf")], "--psk-file"),
        (["link", "config", "--peer", "tun", "--psk-file", str(key)], "strongswan has one"),
        (["link", "config", "--peer", "labels", "--mpls-peer-port", "7"], "6635"),
        (["link", "config", "--local-id", "a }\nsecrets {"], "no identity"),
        (["link", "config", "--ike-address", "192.0.2.1/24"], "no IPv4 address"),
        (["link", "config", "--users", "all"], "no IPv4 network"),
        (["link", "config", "--peer", "labels", "--mpls-peer", "here"], "no IPv4 address"),
        (["link", "config", "--peer", "tun", "--device", "a b"], "no name of a device"),
        (["link", "status"], "--url"),
    ):
        done = run(*words, SMETS1_URL="", SMETS1_TOKEN="") if words[1] == "status" else run(*words)
        assert done.exit_code != 0
        assert cure in str(done.exception), words
    assert not (tmp_path / "conf").exists()


def test_the_label_tables_load_and_lead_to_the_gate(tmp_path: Path) -> None:
    """A router made of what is printed sends a user's packet under the labels our edge takes, and takes its answers."""
    file = tmp_path / "tables.toml"
    text = run("link", "config", "--peer", "labels", "--mpls-address", "192.0.2.1", "--mpls-peer", "192.0.2.2").stdout
    file.write_text(text)
    router = load(file).routers["data-centre"]
    packet = IPV4_FRAME.build(IPv4(0x0A000001, 0x0A800003, 17, 1, 64, bytes(8)))
    outcome = router.forward(packet, "users", 0)
    assert not isinstance(outcome, Dropped)
    (sent,) = outcome
    outside = IPV4_FRAME.parse(sent.frame)
    datagram = UDP_FRAME.parse(outside.payload)
    assert (outside.destination, datagram.destination_port) == (0xC0000201, 6635)
    inbound, outbound = label_pairs()
    assert tuple(label.label for label in MPLS_FRAME.parse(datagram.payload).labels) == inbound
    assert f"in = {outbound[1]}" in text


def test_the_commands_for_a_device_name_it() -> None:
    text = run("link", "config", "--peer", "tun", "--device", "meters").stdout
    assert "ip route add 10.128.0.0/9 dev meters" in text


def test_the_ready_line_says_where_the_doors_are(street: Any) -> None:
    doors = street.ready["tunnels"]
    assert doors["ipsec"]["natt_port"] > 0 < doors["ipsec"]["ike_port"]
    assert doors["mpls"]["port"] > 0
    assert doors["ipsec"]["home_0"] == "10.128.0.0"
    assert SECRET not in json.dumps(street.ready)


def test_a_server_is_asked_to_fail_heal_and_cut_over(street: Any) -> None:
    """By the verbs, which are the routes of HTTP and the topics of a broker."""
    before = asked(street, "status")
    assert (before["kind"], before["black"], before["failures"]) == ("ipsec", False, [])
    assert before["tunnels"]["ipsec"]["carries"]
    assert not before["tunnels"]["mpls"]["carries"]
    assert asked(street, "fail", "--seconds", "3600")["fault"] == "link-outage"
    failed = asked(street, "status")
    assert failed["black"]
    assert len(failed["failures"]) == 1
    assert not failed["tunnels"]["ipsec"]["carries"]
    assert asked(street, "heal")["cleared"] == 1
    with kit.Caller("127.1.0.1", street.port, udp=True) as caller:
        counter = caller.counter(2)
    done = run("link", "cutover", "pigeons", SMETS1_URL=street.ready["http"], SMETS1_TOKEN=street.ready["token"])
    assert done.exit_code
    assert "pigeons" in str(done.exception)
    after = asked(street, "cutover")
    assert after["kind"] == "mpls"
    assert after["tunnels"]["mpls"]["carries"]
    assert not after["tunnels"]["ipsec"]["carries"]
    with kit.Caller("127.1.0.1", street.port, udp=True) as caller:
        assert caller.counter(2) >= counter, "homes are reached over the other link"
    assert {(each["down"], each["up"]) for each in asked(street, "status")["cells"].values()} == {("mpls", "mpls")}
    assert run("link", "kill", SMETS1_URL=street.ready["http"], SMETS1_TOKEN=street.ready["token"]).exit_code
    crossed = asked(street, "status")["crossed"]
    assert crossed["down"]["delivered"] == crossed["down"]["offered"] > before["crossed"]["down"]["offered"]
