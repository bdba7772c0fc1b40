"""A broker's address and our name there, checked before anything is opened."""

import ssl
from pathlib import Path

import pytest

from emulator.control.mqtt_address import Address, BusOptions, address_of, root_of
from emulator.errors import InputError


def of(url: str, environ: dict[str, str] | None = None, **options: Path) -> Address:
    return address_of(BusOptions(url, **options), environ or {})  # type: ignore[arg-type]


def test_addresses() -> None:
    """Any broker by URL, with its usual port; embedded ones with a port or any."""
    assert (of("mqtt://broker").host, of("mqtt://broker").port) == ("broker", 1883)
    assert of("mqtt://10.1.2.3:99/").url == "mqtt://10.1.2.3:99"
    assert of("mqtts://[::1]").url == "mqtts://[::1]:8883"
    assert isinstance(of("mqtts://broker").tls, ssl.SSLContext)
    assert of("embedded") == Address("127.0.0.1", 0, embedded=True)
    assert of("embedded:1884").port == 1884


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("broker", "mqtt://HOST"),
        ("http://broker", "mqtt://HOST"),
        ("mqtt://", "mqtt://HOST"),
        ("mqtt://broker/topic", "mqtt://HOST"),
        ("mqtt://broker:port", "mqtt://HOST"),
        ("mqtt://broker:70000", "mqtt://HOST"),
        ("mqtt://me:hunter2@broker", "--mqtt-credentials"),
        ("embedded:x", "number"),
        ("embedded:70000", "number"),
    ],
)
def test_wrong_addresses(url: str, says: str) -> None:
    """One sentence with its cure; and a password that should not be there is not repeated."""
    with pytest.raises(InputError, match=says) as caught:
        of(url)
    assert "hunter2" not in str(caught.value)


def test_credentials(tmp_path: Path) -> None:
    """From a file or the environment, the file first; a password is in no repr."""
    path = tmp_path / "credentials"
    path.write_text("me:pass:word\nignored\n")
    environ = {"SMETS1_MQTT_USER": "you", "SMETS1_MQTT_PASSWORD": "other"}
    found = of("mqtt://broker", environ, credentials=path)
    assert (found.user, found.password) == ("me", "pass:word")
    assert "pass" not in repr(found)
    found = of("mqtt://broker", environ)
    assert (found.user, found.password) == ("you", "other")
    assert of("mqtt://me@broker").user == "me"
    assert of("embedded", environ).password == "other"
    for content in (b"me", b":x", b"me:", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="user:password"):
            of("mqtt://broker", credentials=path)
    with pytest.raises(InputError, match="user:password"):
        of("mqtt://broker", credentials=tmp_path / "none")


def test_certificates(tmp_path: Path) -> None:
    """Files that are missing, are no certificates or have no use are said at once."""
    path = tmp_path / "ca.pem"
    with pytest.raises(InputError, match="no such file"):
        of("mqtts://broker", ca=path)
    path.write_text("nothing")
    with pytest.raises(InputError, match=r"ca\.pem"):
        of("mqtts://broker", ca=path)
    with pytest.raises(InputError, match=r"ca\.pem"):
        of("mqtts://broker", certificate=path)
    with pytest.raises(InputError, match="--mqtt-cert"):
        of("mqtts://broker", key=path)
    for url in ("mqtt://broker", "embedded"):
        with pytest.raises(InputError, match="without TLS"):
            of(url, ca=path)


def test_roots() -> None:
    """Topics are beneath prefix and estate, whatever the estate is called."""
    assert root_of("smets1", "demo-street") == "smets1/demo-street"
    assert root_of("a/b.c", "my estate/+#") == "a/b.c/my-estate---"
    for bad in ("", "/a", "a/", "a//b", "a/#", "+", "$SYS", "x" * 300):
        with pytest.raises(InputError, match="prefix"):
            root_of(bad, "e")
