"""A migration's own capture, opened by others: the tunnel by scapy and tshark, the messages in it by DLMS stacks.

Nothing of ours takes part in opening: the keys of the tunnel are read from the files beside the capture, the keys of
the meters come from the estate that made them.
"""

import os
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emulator.cli import group
from emulator.codecs.wrapper import WRAPPER
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.installation import KEYED, DeviceKeys
from emulator.headend.keyring import HEAD_END_TITLE
from emulator.kernel.machine import Party
from emulator.link.tap import keys_directory, opening

pytestmark = pytest.mark.stranger

HOMES = 5
HUBS = 0x0A800000
SAPS = {1: Party.HUB, 2: Party.ELECTRICITY, 3: Party.GAS}
GLO_GET_RESPONSE, GLO_ACTION_REQUEST, AARQ, GENERAL_GLO = 0xCC, 0xCB, 0x60, 0xDB


def stranger(name: str) -> Any:
    """A module of someone else's; a skip where it is not installed (which `conftest` may turn into a failure)."""
    try:
        return import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="module")
def estate() -> Estate:
    return open_estate("thousand", installations=HOMES)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`smets1 migrate --installations 5 --pcap run.pcapng`."""
    file = tmp_path_factory.mktemp("capture") / "run.pcapng"
    arguments = ["migrate", "--installations", str(HOMES), "--workers", "1", "--json", "--pcap", str(file)]
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code == 0, done.output
    return file


Packet = tuple[str, str, int, int, bytes]
"""Inner source and destination address, ports, and the wrapper frame."""


@pytest.fixture(scope="module")
def packets(capture: Path) -> list[Packet]:
    """Every packet of the capture, decrypted by scapy with the keys that lie beside it."""
    utils, ipsec, inet = stranger("scapy.utils"), stranger("scapy.layers.ipsec"), stranger("scapy.layers.inet")
    associations = {}
    for line in (keys_directory(capture) / "esp_sa").read_text("utf-8").splitlines():
        _, source, destination, spi, _, key, *_ = (field.strip('"') for field in line.split(","))
        outer = inet.IP(src=source, dst=destination)
        associations[int(spi, 16)] = ipsec.SecurityAssociation(
            ipsec.ESP, spi=int(spi, 16), crypt_algo="AES-GCM", crypt_key=bytes.fromhex(key[2:]), tunnel_header=outer
        )
    found = []
    for packet in utils.rdpcap(str(capture)):
        if not packet.haslayer(ipsec.ESP):
            continue  # the gateways' own messages
        inside = associations[packet[ipsec.ESP].spi].decrypt(inet.IP(bytes(packet)))  # raises when the ICV is bad
        udp = inside[inet.UDP]
        found.append((inside.src, inside.dst, udp.sport, udp.dport, bytes(udp.payload)))
    return found


def test_scapy_opens_every_packet(packets: list[Packet]) -> None:
    """Down from the head end to a hub's port 4059 and back, alerts to 4061; every payload is one wrapper frame."""
    hubs = {f"10.128.0.{number}" for number in range(HOMES)}
    for source, destination, sport, dport, frame in packets:
        if destination in hubs:
            assert (source, sport, dport) == ("10.0.0.1", 4059, 4059)
        else:
            assert source in hubs
            assert (destination, sport, dport) in {("10.0.0.1", 4059, 4059), ("10.0.0.1", 49152, 4061)}
        assert frame[:2] == b"\x00\x01"
        assert int.from_bytes(frame[6:8], "big") == len(frame) - 8
    assert len(packets) > 100
    assert any(dport == 4061 for _, _, _, dport, _ in packets)


def test_tshark_opens_every_packet(capture: Path, packets: list[Packet]) -> None:
    """With nothing but the command that `migrate` prints: every ICV good, every checksum right, the same payloads."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    setting, *command = shlex.split(opening(capture))
    name, _, value = setting.partition("=")
    names = ("esp.icv_good", "udp.dstport", "udp.payload", "ip.checksum.status", "udp.checksum.status")
    options = [word for field in names for word in ("-e", field)]
    answer = subprocess.run(
        [*command, "-Y", "esp", "-T", "fields", "-E", "occurrence=a", *options],
        env={**os.environ, name: value}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    rows = [line.split("\t") for line in answer.stdout.splitlines()]
    assert {(row[0], row[3], row[4]) for row in rows} == {("1", "1,1", "1")}
    assert {row[1] for row in rows} == {"4059", "4061"}
    assert [bytes.fromhex(row[2]) for row in rows] == [frame for *_, frame in packets]


# What is inside: ciphered APDUs under the keys the meters were found with


def handed_over(estate: Estate, packets: list[Packet], tag: int) -> list[tuple[bytes, bytes, bytes, DeviceKeys]]:
    """(APDU, sender's title, receiver's title, keys) of the first messages of a kind to or from each keyed device:
    those before its keys were changed."""
    found: dict[tuple[int, Party], tuple[bytes, bytes, bytes, DeviceKeys]] = {}
    for source, destination, _, dport, frame in packets:
        if dport != 4059:
            continue
        wrapper = WRAPPER.parse(frame)
        down = source == "10.0.0.1"
        number = int((destination if down else source).rpartition(".")[2])
        party = SAPS[wrapper.destination if down else wrapper.source]
        home = estate.installation(number)
        spec = home.device(party)
        assert spec is not None
        assert party in KEYED
        titles = (HEAD_END_TITLE, spec.system_title) if down else (spec.system_title, HEAD_END_TITLE)
        client = wrapper.source if down else wrapper.destination
        if client == 1 and wrapper.payload[0] == tag:
            found.setdefault((number, party), (wrapper.payload, *titles, estate.keys(home, party)))
    assert found, f"no message {tag:02X}"
    return list(found.values())


@pytest.mark.parametrize("tag", [GLO_GET_RESPONSE, GLO_ACTION_REQUEST])
def test_dlms_cosem_decrypts_a_message(estate: Estate, packets: list[Packet], tag: int) -> None:
    """The first ciphered answers and actions of every device open under the estate's keys, and say what they should."""
    security = stranger("dlms_cosem.security")
    for apdu, title, _, keys in handed_over(estate, packets, tag):
        assert apdu[1] == len(apdu) - 2
        plain = security.decrypt(
            security_control=security.SecurityControlField.from_bytes(apdu[2:3]),
            system_title=title,
            invocation_counter=int.from_bytes(apdu[3:7], "big"),
            key=keys.ek,
            cipher_text=apdu[7:],
            auth_key=keys.ak,
        )
        assert plain[0] == tag - 8
        if tag == GLO_GET_RESPONSE:
            xdlms = stranger("dlms_cosem.protocol.xdlms")
            answer = xdlms.GetResponseFactory.from_bytes(bytes(plain))
            assert type(answer).__name__ in ("GetResponseNormal", "GetResponseWithList")
            assert b"ELS" in bytes(plain)  # the device says its name first
        else:
            assert bytes(plain[3:5]) == b"\x00\x0f"  # class 15: the reply to the server's challenge
        with pytest.raises(security.DecryptionError):
            security.decrypt(
                security_control=security.SecurityControlField.from_bytes(apdu[2:3]),
                system_title=title,
                invocation_counter=int.from_bytes(apdu[3:7], "big") + 1,
                key=keys.ek,
                cipher_text=apdu[7:],
                auth_key=keys.ak,
            )


def test_gurux_decrypts_messages(estate: Estate, packets: list[Packet]) -> None:
    """Gurux's translator shows the first answer of every device as XML, with the name in it."""
    gurux, enums = stranger("gurux_dlms"), stranger("gurux_dlms.enums")
    for apdu, title, _, keys in handed_over(estate, packets, GLO_GET_RESPONSE):
        translator = gurux.GXDLMSTranslator()
        translator.comments = True
        translator.security = enums.Security.AUTHENTICATION_ENCRYPTION
        translator.systemTitle = translator.serverSystemTitle = title
        translator.blockCipherKey, translator.authenticationKey = keys.ek, keys.ak
        shown = translator.pduToXml(gurux.GXByteBuffer(apdu))
        assert b"ELS".hex().upper() in shown.replace(" ", "").upper()


def test_the_old_keys_open_nothing_after_the_change(estate: Estate, packets: list[Packet]) -> None:
    """The last ciphered answer of a migrated meter opens under the old operator's keys no more."""
    security = stranger("dlms_cosem.security")
    last: dict[tuple[int, Party], bytes] = {}
    changed = set()
    for source, _, _, dport, frame in packets:
        if dport == 4059 and source != "10.0.0.1":
            wrapper = WRAPPER.parse(frame)
            home = (int(source.rpartition(".")[2]), SAPS[wrapper.source])
            if wrapper.payload[0] == GLO_GET_RESPONSE:
                last[home] = wrapper.payload
            elif wrapper.payload[0] == 0xCF:
                changed.add(home)
    assert changed
    for number, party in changed:
        home = estate.installation(number)
        keys, apdu, spec = estate.keys(home, party), last[number, party], home.device(party)
        assert spec is not None
        with pytest.raises(security.DecryptionError):
            security.decrypt(
                security_control=security.SecurityControlField.from_bytes(apdu[2:3]),
                system_title=spec.system_title,
                invocation_counter=int.from_bytes(apdu[3:7], "big"),
                key=keys.ek,
                cipher_text=apdu[7:],
                auth_key=keys.ak,
            )
