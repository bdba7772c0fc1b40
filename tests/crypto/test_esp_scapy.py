"""scapy's IPsec against ours: every suite it knows, with and without ESN, tunnel and transport, bare and in UDP."""

import os
from typing import Any

import pytest

from emulator.crypto.esp_sa import SaState, associate
from emulator.crypto.esp_suites import suite

pytestmark = pytest.mark.stranger

if os.environ.get("SMETS1_REQUIRE_STRANGERS") == "1":
    import scapy.layers.inet as inet
    import scapy.layers.ipsec as ipsec
else:
    inet = pytest.importorskip("scapy.layers.inet")
    ipsec = pytest.importorskip("scapy.layers.ipsec")

SPI = 0x1000_0001
TUNNEL = inet.IP(src="192.0.2.1", dst="192.0.2.2")
NAMES = {"gcm": "AES-GCM", "chacha": "CHACHA20-POLY1305", "cbc": "AES-CBC"}
HASHES = {"sha256": "SHA2-256-128", "sha384": "SHA2-384-192", "sha512": "SHA2-512-256"}
KNOWN = [
    "aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305", "aes128-sha256",
    "aes256-sha256", "aes128-sha384", "aes256-sha512",
]  # fmt: skip


def both(name: str, esn: bool, state: SaState | None = None, **theirs: Any) -> tuple[Any, Any]:
    """(an association of ours, scapy's) with the same keys."""
    sizes = suite(name)
    key, salt = bytes(range(sizes.key)), b"salt"[: sizes.salt]
    integrity = bytes(range(100, 100 + sizes.integrity))
    ours = associate(name, SPI, key, salt, integrity, esn=esn, state=state)
    arguments: dict[str, Any] = {"crypt_algo": NAMES[sizes.mode], "crypt_key": key + salt, **theirs}
    if integrity:
        arguments |= {"auth_algo": HASHES[sizes.digest], "auth_key": integrity}
    return ours, ipsec.SecurityAssociation(ipsec.ESP, spi=SPI, esn_en=esn, **arguments)


def inner(length: int) -> Any:
    return inet.IP(src="10.0.0.1", dst="10.128.0.5") / inet.UDP(sport=4059, dport=4059) / bytes(length)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("esn", [None, 0, 1, 0xFFFFFFFF], ids=["short", "esn-0", "esn-1", "esn-max"])
def test_tunnel_mode(name: str, esn: int | None) -> None:
    """Theirs opens ours and ours opens theirs, for several lengths and upper halves of the number."""
    extended = esn is not None
    for low, length in ((1, 0), (2, 1), (70, 64), (0xFFFFFFFF, 500)):
        number = (esn or 0) << 32 | low
        ours, theirs = both(name, extended, SaState(number, 0, 0), tunnel_header=TUNNEL)
        theirs.esn = esn or 0
        packet = inner(length)
        sealed = ours.seal(bytes(packet), 4)
        opened = theirs.decrypt(TUNNEL / ipsec.ESP(sealed), verify=True, esn=esn or 0, esn_en=extended)
        assert bytes(opened) == bytes(packet)
        into, _ = both(name, extended, SaState(1, number - 1, 0))
        made = theirs.encrypt(packet, seq_num=low, esn=esn or 0, esn_en=extended)
        assert into.open(bytes(made[ipsec.ESP])) == (4, bytes(packet))


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("esn", [False, True], ids=["short", "extended"])
def test_eight_bytes_of_the_check_value(bits: int, esn: bool) -> None:
    """scapy 2.8 takes and gives sixteen, whatever it is told: RFC 4106's eight are the first of them."""
    number = 5 << 32 | 7 if esn else 7
    ours, _ = both(f"aes{bits}gcm8", esn, SaState(number, 0, 0))
    _, theirs = both(f"aes{bits}gcm16", esn, tunnel_header=TUNNEL)
    made = theirs.encrypt(inner(50), seq_num=7, iv=number.to_bytes(8, "big"), esn=5, esn_en=esn)
    assert ours.seal(bytes(inner(50)), 4) == bytes(made[ipsec.ESP])[:-8]
    into, _ = both(f"aes{bits}gcm8", esn, SaState(1, number - 1, 0))
    assert into.open(bytes(made[ipsec.ESP])[:-8]) == (4, bytes(inner(50)))


@pytest.mark.parametrize("name", KNOWN)
def test_transport_mode_and_udp(name: str) -> None:
    """The payload alone under its own protocol number; and a tunnel in UDP 4500."""
    packet = inner(33)
    ours, theirs = both(name, False)
    sealed = ours.seal(bytes(packet[inet.UDP]), 17)
    outer = inet.IP(src="10.0.0.1", dst="10.128.0.5", proto=50) / ipsec.ESP(sealed)
    assert bytes(theirs.decrypt(inet.IP(bytes(outer)))[inet.UDP]) == bytes(packet[inet.UDP])
    into, _ = both(name, False)
    assert into.open(bytes(theirs.encrypt(packet)[ipsec.ESP])) == (17, bytes(packet[inet.UDP]))
    ours, theirs = both(name, False, tunnel_header=TUNNEL, nat_t_header=inet.UDP(sport=4500, dport=4500))
    into, _ = both(name, False)
    made = inet.IP(bytes(theirs.encrypt(packet)))
    assert made[inet.UDP].dport == 4500
    assert into.open(bytes(made[ipsec.ESP])) == (4, bytes(packet))
    sealed = TUNNEL / inet.UDP(sport=4500, dport=4500, chksum=0) / ipsec.ESP(ours.seal(bytes(packet), 4))
    assert bytes(theirs.decrypt(inet.IP(bytes(sealed)))) == bytes(packet)
