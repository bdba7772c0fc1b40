"""Gurux, a DLMS client that nobody here wrote, talks to a served estate over real sockets.

It takes keys and addresses from `smets1 keys --json` alone. It does not check tags when it decrypts (1.0.203), so it
speaks here and proves no refusal by its own silence: refusals are what the meter said.
"""

import importlib.util
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_kit import module

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

TITLE = b"GRX\0\0\0\0\1"
CLOCK, TOTAL, SUPPLY, SECURITY = "0.0.1.0.0.255", "1.0.1.8.0.255", "0.0.96.3.10.255", "0.0.43.0.0.255"
COUNTER = "0.0.43.1.0.255"


class Gurux:
    """A Gurux client on a socket of its own."""

    def __init__(self, device: Any, *, sap: int, authentication: str, hdlc: int = 0, server: int = 0) -> None:
        self.enums = module("gurux_dlms.enums")
        self.objects = module("gurux_dlms.objects")
        self._reply = module("gurux_dlms").GXReplyData
        kind = self.enums.InterfaceType.HDLC if hdlc else self.enums.InterfaceType.WRAPPER
        self.client = module("gurux_dlms.secure").GXDLMSSecureClient(
            True,
            sap,
            server or device["server_sap"],
            getattr(self.enums.Authentication, authentication),
            None,
            kind,
        )
        self.device = device
        self.hdlc = bool(hdlc)
        self.sent: list[bytes] = []
        self.socket = socket.create_connection((device["host"], hdlc or device["port"]), timeout=kit.PATIENCE)

    def keyed(self, counter: int, **keys: bytes) -> "Gurux":
        cipher = self.client.ciphering
        cipher.security = self.enums.Security.AUTHENTICATION_ENCRYPTION
        cipher.systemTitle = TITLE
        cipher.blockCipherKey = keys.get("ek") or bytes.fromhex(self.device["ek"])
        cipher.authenticationKey = keys.get("ak") or bytes.fromhex(self.device["ak"])
        cipher.invocationCounter = counter
        return self

    def exchange(self, frame: bytes, reply: Any) -> None:
        """One frame out, and whole frames back as Gurux understands them."""
        self.sent.append(bytes(frame))
        self.socket.sendall(bytes(frame))
        heard = bytearray()
        while True:
            piece = self.socket.recv(4096)
            assert piece, "closed"
            heard += piece
            buffer = module("gurux_dlms").GXByteBuffer(heard)
            if self.client.getData(buffer, reply, None):
                return

    def ask(self, frames: Any) -> Any:
        reply = self._reply()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply = self._reply()
            self.exchange(frame, reply)
            assert reply.error == 0, reply.error
            while reply.isMoreData():
                self.exchange(self.client.receiverReady(reply), reply)
                assert reply.error == 0, reply.error
        return reply

    def open(self) -> "Gurux":
        if self.hdlc:
            self.client.parseUAResponse(self.ask(self.client.snrmRequest()).data)
        self.client.parseAareResponse(self.ask(self.client.aarqRequest()).data)
        if self.client.getIsAuthenticationRequired():
            reply = self.ask(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(reply.data)
        return self

    def read(self, item: Any, attribute: int) -> Any:
        reply = self.ask(self.client.read(item, attribute))
        return self.client.updateValue(item, attribute, reply.value)

    def close(self) -> None:
        self.socket.close()


def counter(device: Any, hdlc: int = 0) -> int:
    """What the public client, unsecured, reads of the counter."""
    gurux = Gurux(device, sap=device["public_sap"], authentication="NONE", hdlc=hdlc).open()
    try:
        return int(gurux.read(gurux.objects.GXDLMSData(device["invocation_counter"]["logical_name"]), 2))
    finally:
        gurux.close()


def managed(device: Any, hdlc: int = 0, server: int = 0, **keys: bytes) -> Gurux:
    """An association under HLS-GMAC."""
    found = Gurux(device, sap=device["client_sap"], authentication="HIGH_GMAC", hdlc=hdlc, server=server)
    return found.keyed(counter(device, hdlc), **keys).open()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    module("gurux_dlms")
    with kit.served("--state", str(tmp_path_factory.mktemp("state") / "street")) as found:
        yield found


def test_clock_registers_and_object_list_over_tcp(street: Any) -> None:
    """HLS-GMAC, authenticated and encrypted: the virtual day, a total with its unit, and a list that names both."""
    gurux = managed(street.keys(0, "electricity"))
    shown = gurux.read(gurux.objects.GXDLMSClock(CLOCK), 2)
    # The estate begins at midnight: a meter's slow clock may still show the last minute of the day before.
    assert re.match(r"2020-03-02|2020-03-01T23:59", shown.value.isoformat())
    register = gurux.objects.GXDLMSRegister(TOTAL)
    gurux.read(register, 3)
    gurux.read(register, 2)
    assert register.value > 0
    assert int(register.unit) == 30  # Wh
    reply = gurux.ask(gurux.client.getObjectsRequest())
    items = gurux.client.parseObjects(reply.data, False, False)
    found = {(int(item.objectType), str(item.logicalName)) for item in items}
    assert {(8, CLOCK), (3, TOTAL), (70, SUPPLY)} <= found
    gurux.close()


def test_the_gas_meter_answers_by_its_own_sap_at_the_same_address(street: Any) -> None:
    """Two meters, one address: the logical device tells them apart, and the public counter is the one `keys` says."""
    electricity, gas = street.keys(0, "electricity"), street.keys(0, "gas")
    assert electricity["host"] == gas["host"]
    assert counter(gas) == gas["invocation_counter"]["value"] != counter(electricity)
    gurux = managed(gas)
    assert "2020-03-0" in gurux.read(gurux.objects.GXDLMSClock(CLOCK), 2).value.isoformat()
    gurux.close()


def test_the_same_over_hdlc(street: Any) -> None:
    """SNRM, UA, an object list in many segments, a clock, DISC: by the optical head, with a physical address too."""
    device = street.keys(0, "electricity")
    hdlc = street.ready["hdlc_port"]
    address = module("gurux_dlms").GXDLMSClient.getServerAddress(device["server_sap"], 17)
    gurux = managed(device, hdlc, address)
    shown = gurux.read(gurux.objects.GXDLMSClock(CLOCK), 2)
    assert re.match(r"2020-03-02|2020-03-01T23:59", shown.value.isoformat())
    reply = gurux.ask(gurux.client.getObjectsRequest())
    found = gurux.client.parseObjects(reply.data, False, False)
    assert (70, SUPPLY) in {(int(item.objectType), str(item.logicalName)) for item in found}
    gurux.ask(gurux.client.disconnectRequest())
    gurux.close()


def test_supply_and_an_auxiliary_load_are_switched(street: Any) -> None:
    """Disconnect and reconnect by method; auxiliary switch 1 by its script, and the output says so."""
    device = street.keys(1, "electricity")
    gurux = managed(device)
    supply = gurux.objects.GXDLMSDisconnectControl(SUPPLY)
    gurux.ask(supply.remoteDisconnect(gurux.client))
    assert (gurux.read(supply, 2), int(gurux.read(supply, 3))) == (False, 0)
    gurux.ask(supply.remoteReconnect(gurux.client))
    if int(gurux.read(supply, 3)) != 1:  # this model arms first; its button closes
        scripts = gurux.objects.GXDLMSScriptTable("0.0.10.0.106.255")
        gurux.ask(gurux.client.method(scripts, 1, 0x33, gurux.enums.DataType.UINT16))
    assert gurux.read(supply, 2) is True
    output = gurux.objects.GXDLMSDisconnectControl("0.1.96.3.10.255")
    scripts = gurux.objects.GXDLMSScriptTable("0.0.10.0.103.255")
    states = []
    for script in (0x1111, 0x0112):
        gurux.ask(gurux.client.method(scripts, 1, script, gurux.enums.DataType.UINT16))
        states.append(gurux.read(output, 2))
    assert states == [True, False]
    gurux.close()


def test_keys_are_changed_and_the_old_ones_refused(street: Any) -> None:
    """EK and AK under the master key: `smets1 keys` says the new ones at once, they open, the old ones do not."""
    device = street.keys(2, "gas")
    gurux = managed(device)
    kinds = module("gurux_dlms.objects.enums").GlobalKeyType
    ek, ak = b"\xe1" * 16, b"\xa1" * 16
    setup = gurux.objects.GXDLMSSecuritySetup(SECURITY)
    items = [(kinds.UNICAST_ENCRYPTION, ek), (kinds.AUTHENTICATION, ak)]
    gurux.ask(setup.globalKeyTransfer(gurux.client, bytes.fromhex(device["kek"]), items))
    gurux.close()
    now = street.keys(2, "gas")
    assert (now["ek"], now["ak"], now["kek"]) == (ek.hex(), ak.hex(), device["kek"])
    managed(now).close()
    before = counter(now)
    old = Gurux(device, sap=1, authentication="HIGH_GMAC").keyed(before)
    with pytest.raises(Exception):  # noqa: B017 - whatever Gurux makes of a deciphering error
        old.open()
    old.close()
    assert counter(now) == before  # a refusal moves no counter


def test_a_replayed_association_is_refused(street: Any) -> None:
    """The very bytes that opened an association open none again, on another connection: the meter names its counter."""
    gurux = managed(street.keys(4, "electricity"))
    opening = gurux.sent[0]
    gurux.close()
    with socket.create_connection((gurux.device["host"], street.port), timeout=kit.PATIENCE) as thief:
        thief.sendall(opening)
        answer = thief.recv(4096)
    assert answer[8:11] == b"\xd8\x01\x06"  # exception-response: service not allowed, invocation counter error
