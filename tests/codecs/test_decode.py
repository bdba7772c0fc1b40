"""`smets1 decode`: published frames opened with their published keys, and clear words for everything that is wrong."""

import io
import json
import struct
from pathlib import Path

import pytest

from emulator.cli import main
from emulator.codecs.axdr import unsigned
from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.esp import ESP, ESP_FRAME
from emulator.codecs.get import GET_RESPONSE, GetResponse
from emulator.codecs.glo import GENERAL_GLO, GLO, Ciphered, GeneralCiphered
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import gcm

# The keys of the published example (fixtures/vectors/dlms/glo.toml).
EK = "000102030405060708090A0B0C0D0E0F"
AK = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
DEDICATED = "00112233445566778899AABBCCDDEEFF"
TITLE = "4D4D4D0000BC614E"
KEYS = ("--ek", EK, "--ak", AK)


def sample(frame: str, name: str) -> str:
    (found,) = [one.data.hex() for one in CATALOGUE[frame].samples if one.name == name]
    return found


def decode(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["decode", *arguments])
    out, err = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return code, out, err


@pytest.mark.parametrize("name", ["get, authenticated and encrypted", "get, encrypted", "get, authenticated"])
def test_published_ciphered_gets_are_opened(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Each protection of the published example opens to the same GET on the clock."""
    code, out, _ = decode(capsys, sample("glo", name), *KEYS, "--title", TITLE)
    assert code == 0
    assert "glo-get-request" in out
    assert "Clock" in out
    assert "0-0:1.0.0*255" in out
    assert ("not checked" if name == "get, encrypted" else "tag checked") in out


def test_the_title_named_in_an_aarq_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """A ciphered AARQ opens without --title: the frame names its sender."""
    code, out, _ = decode(capsys, sample("aarq", "LN ciphered, LLS"), *KEYS)
    assert code == 0
    assert DEDICATED in out
    assert "max pdu  1200" in out


def test_general_glo_names_its_sender(capsys: pytest.CaptureFixture[str]) -> None:
    """general-glo-ciphering opens with the keys alone; with a wrong key it says so and shows the rest."""
    title = bytes.fromhex("454C530000000001")
    plain = GET_RESPONSE.build(GetResponse(0xC1, unsigned(7)))
    iv = title + (5).to_bytes(4, "big")
    text = gcm.seal(bytes.fromhex(EK), iv, b"\x30" + bytes.fromhex(AK), plain, 12)
    frame = GENERAL_GLO.build(GeneralCiphered(title, 0x30, 5, text)).hex()
    code, out, _ = decode(capsys, frame, *KEYS)
    assert code == 0
    assert "maker ELS" in out
    assert "result  7  unsigned" in out
    code, out, _ = decode(capsys, frame, "--ek", AK, "--ak", AK)
    assert code == 0
    assert "the tag does not hold" in out


def test_dedicated_key(capsys: pytest.CaptureFixture[str]) -> None:
    """ded- APDUs are opened with --dk, and never with --ek."""
    plain = GET_RESPONSE.build(GetResponse(0xC1, unsigned(7)))
    iv = bytes.fromhex(TITLE) + bytes(4)
    text = gcm.seal(bytes.fromhex(DEDICATED), iv, b"\x30" + bytes.fromhex(AK), plain, 12)
    frame = GLO.build(Ciphered(0xD4, 0x30, 0, text)).hex()
    assert "needs --dk" in decode(capsys, frame, *KEYS, "--title", TITLE)[1]
    assert "result  7  unsigned" in decode(capsys, frame, *KEYS, "--dk", DEDICATED, "--title", TITLE)[1]


def test_esp_is_opened_down_to_the_apdu(capsys: pytest.CaptureFixture[str]) -> None:
    """An ESP tunnel packet opens with key and salt, through IPv4, UDP and wrapper to the APDU; wrong keys are said."""
    key, salt, iv = bytes(range(16)), b"salt", (1).to_bytes(8, "big")
    apdu = bytes.fromhex(sample("get-request", "clock"))
    datagram = UDP_FRAME.build(UDP(4059, 4059, 0, WRAPPER.build(Wrapper(1, 16, apdu))))
    inner = IPV4_FRAME.build(IPv4(1, 2, 17, 1, 64, datagram))
    pad = -(len(inner) + 2) % 4
    plain = inner + bytes(range(1, pad + 1)) + bytes((pad, 4))
    text = gcm.seal(key, salt + iv, struct.pack(">II", 0x1000, 1), plain, 16)
    outer = IPV4_FRAME.build(IPv4(3, 4, 50, 1, 64, ESP_FRAME.build(ESP(0x1000, 1, iv, text)))).hex()
    code, out, _ = decode(capsys, outer, "--esp-key", "0x" + (key + salt).hex())
    assert code == 0
    assert out.count("IPv4 packet") == 2
    assert "0-0:1.0.0*255" in out
    assert "tag checked" in out
    wrong = decode(capsys, outer, "--esp-key", "00" * 20)[1]
    assert "the tag does not hold" in wrong
    assert "needs --esp-key" in decode(capsys, outer)[1]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the same tree as data."""
    code, out, _ = decode(capsys, sample("get-request", "clock"), "--json")
    tree = json.loads(out)
    assert code == 0
    assert tree["name"] == "get request"
    (attribute,) = [child for child in tree["children"] if child["name"] == "attribute"]
    assert attribute["children"][1] == {"name": "logical name", "value": "0000010000FF", "meaning": "0-0:1.0.0*255"}


def test_input_from_stdin_and_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hex comes from `-`, from @file, with separators and over lines; --lines makes each line a frame."""
    monkeypatch.setattr("sys.stdin", io.StringIO("62 03\n80:01-00\n"))
    assert "release request" in decode(capsys, "-")[1]
    file = tmp_path / "frames.hex"
    file.write_text("6203800100\n\n6303800100\n")
    code, out, _ = decode(capsys, f"@{file}", "--lines", "--json")
    assert code == 0
    assert [tree["name"] for tree in json.loads(out)] == ["release request", "release response"]


def test_long_lines_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output is no terminal nothing is cut or folded."""
    frame = WRAPPER.build(Wrapper(1, 1, b"\x99" * 3000)).hex()
    assert "99" * 3000 in decode(capsys, frame)[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("zz",), "'z' is no hex digit"),
        (("abc",), "3 hex digits make no whole bytes"),
        (("",), "no bytes"),
        (("7EA02C",), "not a valid hdlc at byte"),
        (("6203800100", "--as", "glo"), "not a valid glo"),
        (("6203800100", "--ek", "00"), "--ek: 1 bytes; it has 16 or 32"),
        (("6203800100", "--ek", "secret"), "--ek: not hex"),
        (("6203800100", "--esp-key", "00" * 16), "--esp-key: 16 bytes; it has 20 or 36"),
        (("@/no/such/file",), "/no/such/file: No such file or directory"),
        (("6203800100", "--as", "nothing"), "is not one of"),
        ((), "Missing argument"),
    ],
)
def test_bad_input_is_one_clear_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], text: str) -> None:
    """Whatever is wrong ends with exit code 2, a line that says what, and no traceback."""
    code, out, err = decode(capsys, *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert "Traceback" not in err


def test_a_bad_key_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """The text of a key that cannot be read does not appear in the message."""
    assert "hunter" not in decode(capsys, "6203800100", "--ak", "hunter22")[2]


def test_a_file_that_is_not_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A binary file is refused by name."""
    file = tmp_path / "capture.pcap"
    file.write_bytes(bytes(range(200, 256)))
    assert "capture.pcap: not hex text" in decode(capsys, f"@{file}")[2]
