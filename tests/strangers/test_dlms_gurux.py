"""Gurux, a DLMS client that nobody here wrote, talks to our server in wrapper frames.

Its release 1.0.203 does not check authentication tags when it decrypts, so nothing here proves our tags by its
silence: tags are proved by what our server accepts from it and by its own comparison of f(CtoS).
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from module_kit import module

from emulator.codecs.wrapper import WRAPPER, Wrapper

pytestmark = pytest.mark.stranger

if "dlms_bench_meter" not in sys.modules:
    _path = Path(__file__).parents[1] / "dlms" / "dlms_bench_meter.py"
    _spec = importlib.util.spec_from_file_location("dlms_bench_meter", _path)
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["dlms_bench_meter"] = _module
    _spec.loader.exec_module(_module)

bench: Any = sys.modules["dlms_bench_meter"]


class Gurux:
    """A Gurux client with our meter at the other end of the wire."""

    def __init__(self, meter: Any, sap: int, authentication: str = "NONE", password: bytes | None = None) -> None:
        enums = module("gurux_dlms.enums")
        objects = module("gurux_dlms.objects")
        self.meter = meter
        self.enums = enums
        self.objects = objects
        self.reply_type = module("gurux_dlms").GXReplyData
        self.client = module("gurux_dlms.secure").GXDLMSSecureClient(
            True, sap, 1, getattr(enums.Authentication, authentication), password, enums.InterfaceType.WRAPPER
        )
        self.frames: list[tuple[bytes, bytes]] = []

    def ciphered(self, first_counter: int = 0, ek: bytes = bench.EK, ak: bytes = bench.AK) -> "Gurux":
        cipher = self.client.ciphering
        cipher.security = module("gurux_dlms.enums").Security.AUTHENTICATION_ENCRYPTION
        cipher.systemTitle = bench.CLIENT_TITLE
        cipher.blockCipherKey = ek
        cipher.authenticationKey = ak
        cipher.invocationCounter = first_counter
        return self

    def exchange(self, frame: bytes, reply: Any) -> None:
        """One wrapper frame out, one back."""
        request = WRAPPER.parse(bytes(frame))
        answer = self.meter.server.receive(request.source, request.payload, bench.NOW)
        assert answer is not None
        self.frames.append((request.payload, answer))
        self.client.getData(WRAPPER.build(Wrapper(request.destination, request.source, answer)), reply)

    def ask(self, frames: Any) -> Any:
        """All frames of a request, and every further block of its answer."""
        reply = self.reply_type()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply = self.reply_type()
            self.exchange(frame, reply)
            assert reply.error == 0, reply.error
            while reply.isMoreData():
                self.exchange(self.client.receiverReady(reply), reply)
                assert reply.error == 0, reply.error
        return reply

    def open(self) -> "Gurux":
        reply = self.ask(self.client.aarqRequest())
        self.client.parseAareResponse(reply.data)
        if self.client.getIsAuthenticationRequired():
            reply = self.ask(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(reply.data)
        return self

    def read(self, item: Any, attribute: int) -> Any:
        reply = self.ask(self.client.read(item, attribute))
        return self.client.updateValue(item, attribute, reply.value)


@pytest.fixture
def meter() -> Any:
    return bench.Meter()


@pytest.fixture
def gurux(meter: Any) -> Gurux:
    """A ciphered HLS-GMAC association of the management client."""
    return Gurux(meter, bench.MANAGEMENT_SAP, "HIGH_GMAC").ciphered().open()


def name_of(text: bytes) -> str:
    return ".".join(str(part) for part in text)


def test_a_public_association_reads_the_device_name_and_is_released(meter: Any) -> None:
    """AARQ without security, GET of the logical device name, a refused object, RLRQ."""
    gurux = Gurux(meter, bench.PUBLIC_SAP).open()
    item = gurux.objects.GXDLMSData(name_of(bench.NAME))
    assert bytes(gurux.read(item, 2)) == b"ELS0000000012345"
    with pytest.raises(AssertionError, match="3"):
        gurux.read(gurux.objects.GXDLMSDisconnectControl(name_of(bench.SUPPLY)), 3)
    gurux.ask(gurux.client.releaseRequest())
    assert meter.server.association(bench.PUBLIC_SAP) is None


def test_a_low_level_password_is_accepted_and_a_wrong_one_is_reported(meter: Any) -> None:
    """LLS both ways: its own exception names the refused association."""
    gurux = Gurux(meter, bench.READER_SAP, "LOW", bench.PASSWORD).open()
    assert gurux.read(gurux.objects.GXDLMSRegister(name_of(bench.ENERGY)), 2) == 576_000
    with pytest.raises(Exception, match=r"(?i)authentication|reject|permanent"):
        Gurux(meter, bench.READER_SAP, "LOW", b"wrong").open()


def test_hls_gmac_opens_both_ways(meter: Any, gurux: Gurux) -> None:
    """Gurux proves itself to us, and compares our f(CtoS) with its own; everything after the AARQ is ciphered."""
    assert meter.server.association(1).established
    assert [request[0] for request, _ in gurux.frames] == [0x60, 0xCB]
    assert bytes(gurux.read(gurux.objects.GXDLMSData(name_of(bench.NAME)), 2)) == b"ELS0000000012345"


def test_the_clock_is_read_and_set(meter: Any, gurux: Gurux) -> None:
    """GET of the time as Gurux understands it, and SET of another."""
    clock = gurux.objects.GXDLMSClock(name_of(bench.CLOCK))
    shown = gurux.read(clock, 2)
    assert "2020-03-02" in shown.value.isoformat() and "12:00:00" in shown.value.isoformat()  # noqa: PT018
    value = module("gurux_dlms").GXDateTime(shown.value.replace(hour=13))
    clock.time = value
    gurux.ask(gurux.client.write(clock, 2))
    assert bench.TREE[8, bench.CLOCK].time(meter, bench.NOW) == bench.NOW + 3_600_000_000


def test_a_register_with_scaler_and_unit(gurux: Gurux) -> None:
    """Attributes 3 and 2: 5 with scaler -1 is 0.5."""
    register = gurux.objects.GXDLMSRegister(name_of(bench.SLOW))
    gurux.read(register, 3)
    gurux.read(register, 2)
    assert (register.value, int(register.unit)) == (0.5, 27)


def test_a_load_profile_comes_in_blocks(meter: Any) -> None:
    """480 rows through get-with-block to a client that takes 512 bytes, and a part of them by entry and by range."""
    gurux = Gurux(meter, bench.MANAGEMENT_SAP, "HIGH_GMAC").ciphered()
    gurux.client.maxReceivePDUSize = 512
    gurux.open()
    profile = gurux.objects.GXDLMSProfileGeneric(name_of(bench.LOAD_PROFILE))
    gurux.read(profile, 3)
    assert [bytes(map(int, item.logicalName.split("."))) for item, _ in profile.captureObjects] == [
        bench.CLOCK,
        bench.ENERGY,
    ]
    before = len(gurux.frames)
    rows = gurux.read(profile, 2)
    assert len(rows) == 480
    assert rows[-1][1] == 576_000
    assert len(gurux.frames) - before > 10
    assert max(len(answer) for _, answer in gurux.frames) <= 512
    reply = gurux.ask(gurux.client.readRowsByEntry(profile, 1, 3))
    assert [row[1] for row in reply.value] == [row[1] for row in rows[:3]]
    start = rows[5][0].value
    reply = gurux.ask(gurux.client.readRowsByRange(profile, start, rows[8][0].value))
    assert [row[1] for row in reply.value] == [row[1] for row in rows[5:9]]
    assert gurux.read(profile, 7) == 480


def test_the_object_list_is_read_and_understood(meter: Any, gurux: Gurux) -> None:
    """Gurux makes its objects from our association's list: as many as the model has, of the same classes."""
    reply = gurux.ask(gurux.client.getObjectsRequest())
    found = gurux.client.parseObjects(reply.data, False, False)
    assert len(found) == len(bench.ITEMS)
    assert sorted(int(item.objectType) for item in found) == sorted(item.class_id for item in bench.ITEMS)


def test_disconnect_and_scripts_act(meter: Any, gurux: Gurux) -> None:
    """Remote disconnect and reconnect by method, and again by script; an unknown script is refused with its result."""
    supply = gurux.objects.GXDLMSDisconnectControl(name_of(bench.SUPPLY))
    scripts = gurux.objects.GXDLMSScriptTable(name_of(bench.SUPPLY_SCRIPTS))
    gurux.ask(supply.remoteDisconnect(gurux.client))
    assert (meter.contact, gurux.read(supply, 2), int(gurux.read(supply, 3))) == (False, False, 0)
    gurux.ask(supply.remoteReconnect(gurux.client))
    assert meter.contact
    uint16 = gurux.enums.DataType.UINT16
    gurux.ask(gurux.client.method(scripts, 1, 1, uint16))
    assert not meter.contact
    with pytest.raises(AssertionError, match="4"):
        gurux.ask(gurux.client.method(scripts, 1, 99, uint16))


def test_a_long_value_is_written_in_blocks() -> None:
    """SET of 900 characters to a meter that takes 200 bytes: Gurux cuts, we put together."""
    meter = bench.Meter(bench.profile(max_pdu=200))
    gurux = Gurux(meter, bench.READER_SAP, "LOW", bench.PASSWORD).open()
    item = gurux.objects.GXDLMSData(name_of(bench.LONG_TEXT))
    item.value = "z" * 900
    item.setDataType(2, gurux.enums.DataType.STRING)
    gurux.ask(gurux.client.write(item, 2))
    assert bench.TREE[1, bench.LONG_TEXT].read(meter, 2, bench.NOW).value == "z" * 900


def test_keys_are_transferred_in_one_array(meter: Any, gurux: Gurux) -> None:
    """global_key_transfer of EK and AK, wrapped by Gurux under the KEK: the answer is under the old keys, and a new
    association opens under the new ones only."""
    setup = gurux.objects.GXDLMSSecuritySetup(name_of(bench.SECURITY))
    new_ek, new_ak = b"\xe1" * 16, b"\xa1" * 16
    kinds = module("gurux_dlms.objects.enums").GlobalKeyType
    items = [(kinds.UNICAST_ENCRYPTION, new_ek), (kinds.AUTHENTICATION, new_ak)]
    gurux.ask(setup.globalKeyTransfer(gurux.client, bench.KEK, items))
    assert meter.installed == [(1, 0), (1, 2)]
    counter = gurux.client.ciphering.invocationCounter
    with pytest.raises(Exception):  # noqa: B017 - whatever Gurux makes of a deciphering error
        Gurux(meter, 1, "HIGH_GMAC").ciphered(counter + 10).open()
    renewed = Gurux(meter, 1, "HIGH_GMAC").ciphered(counter + 20, new_ek, new_ak).open()
    assert bytes(renewed.read(renewed.objects.GXDLMSData(name_of(bench.NAME)), 2)) == b"ELS0000000012345"


def test_keys_under_a_wrong_master_key_are_refused(meter: Any, gurux: Gurux) -> None:
    """Wrapped by Gurux under another KEK: result 250, nothing installed."""
    setup = gurux.objects.GXDLMSSecuritySetup(name_of(bench.SECURITY))
    kinds = module("gurux_dlms.objects.enums").GlobalKeyType
    with pytest.raises(AssertionError, match="250"):
        gurux.ask(setup.globalKeyTransfer(gurux.client, bytes(16), [(kinds.UNICAST_ENCRYPTION, bytes(16))]))
    assert meter.installed == []


def test_counters_go_on_across_its_associations_and_a_rollback_is_refused(meter: Any, gurux: Gurux) -> None:
    """A protected release and a new association under rising counters; then a client that begins at 0 again."""
    gurux.client.useProtectedRelease = True
    gurux.ask(gurux.client.releaseRequest())
    assert meter.server.association(1) is None
    counter = gurux.client.ciphering.invocationCounter
    Gurux(meter, 1, "HIGH_GMAC").ciphered(counter + 1).open()
    with pytest.raises(Exception):  # noqa: B017 - whatever Gurux makes of an exception response
        Gurux(meter, 1, "HIGH_GMAC").ciphered(0).open()
    assert meter.noted("dlms.replay") == 1


def test_mechanism_6_agrees_with_ours(meter: Any) -> None:
    """HLS-SHA256: both hashes, in the order of secret, titles and challenges that Gurux uses as well."""
    gurux = Gurux(meter, bench.SHA_SAP, "HIGH_SHA256", b"a shared secret")
    gurux.client.ciphering.systemTitle = bench.CLIENT_TITLE
    gurux.open()
    assert meter.server.association(bench.SHA_SAP).established
    assert gurux.read(gurux.objects.GXDLMSRegister(name_of(bench.ENERGY)), 2) == 576_000


def test_an_image_is_transferred_and_verified(meter: Any, gurux: Gurux) -> None:
    """Initiate, all blocks, verify, as Gurux drives class 18: status 3, and what is ready to be activated."""
    image = gurux.objects.GXDLMSImageTransfer(name_of(bench.IMAGE))
    gurux.read(image, 2)
    gurux.ask(image.imageTransferInitiate(gurux.client, "fw-2", len(bench.FIRMWARE)))
    for frame in image.imageBlockTransfer(gurux.client, bench.FIRMWARE, [0]):
        gurux.ask(frame)
    gurux.ask(image.imageVerify(gurux.client))
    assert int(gurux.read(image, 6)) == 3
