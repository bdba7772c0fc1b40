"""dlms-cosem 21.3.2, a DLMS client that nobody here wrote, talks to our server in general-glo-ciphering.

It checks every tag and every counter of ours: an answer it takes is an answer well protected. It wants counters above
0, puts one and the same counter into f(StoC) and into the APDU that carries it, and knows no blocks for requests.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from module_kit import module

from emulator.codecs.axdr import DATA, array, enum, integer, octet_string, structure
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import keywrap

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


class Stranger:
    """A DlmsConnection with our meter at the other end of the wire."""

    def __init__(self, meter: Any, sap: int, **settings: Any) -> None:
        self.meter = meter
        self.sap = sap
        self.cosem = module("dlms_cosem.cosem")
        self.enums = module("dlms_cosem.enumerations")
        self.xdlms = module("dlms_cosem.protocol.xdlms")
        self.connection = module("dlms_cosem.connection").DlmsConnection(
            client_system_title=bench.CLIENT_TITLE, **settings
        )
        self.heard: list[bytes] = []

    def exchange(self, event: Any) -> Any:
        out = WRAPPER.parse(WRAPPER.build(Wrapper(self.sap, 1, self.connection.send(event))))
        answer = self.meter.server.receive(out.source, out.payload, bench.NOW)
        assert answer is not None
        self.heard.append(answer)
        self.connection.receive_data(answer)
        return self.connection.next_event()

    def open(self) -> "Stranger":
        answer = self.exchange(self.connection.get_aarq())
        assert answer.result == self.enums.AssociationResult.ACCEPTED
        if self.connection.authentication_method == self.enums.AuthenticationMechanism.HLS_GMAC:
            method = self.cosem.CosemMethod(
                self.enums.CosemInterface.ASSOCIATION_LN, self.obis(bytes((0, 0, 40, 0, 0, 255))), 1
            )
            data = DATA.build(octet_string(self.connection.get_hls_reply()))
            self.exchange(self.xdlms.ActionRequestNormal(cosem_method=method, data=data))
            assert self.connection.state.current_state is module("dlms_cosem.state").READY
        return self

    def obis(self, name: bytes) -> Any:
        return self.cosem.Obis(*name)

    def get(self, interface: str, name: bytes, attribute: int, selection: Any = None) -> bytes:
        """The encoded datum, block by block where it is long."""
        ref = self.cosem.CosemAttribute(getattr(self.enums.CosemInterface, interface), self.obis(name), attribute)
        answer = self.exchange(self.xdlms.GetRequestNormal(cosem_attribute=ref, access_selection=selection))
        data = b""
        while isinstance(answer, self.xdlms.GetResponseWithBlock):
            data += answer.data
            answer = self.exchange(self.xdlms.GetRequestNext(answer.block_number))
        if isinstance(answer, self.xdlms.GetResponseLastBlock):
            return bytes(data + answer.data)
        assert isinstance(answer, self.xdlms.GetResponseNormal), answer
        return bytes(answer.data)

    def act(self, interface: str, name: bytes, method: int, data: bytes) -> Any:
        ref = self.cosem.CosemMethod(getattr(self.enums.CosemInterface, interface), self.obis(name), method)
        return self.exchange(self.xdlms.ActionRequestNormal(cosem_method=ref, data=data))


def ciphered(
    meter: Any, counter: int = 1, ek: bytes = bench.EK, ak: bytes = bench.AK, answers_from: int = 0
) -> Stranger:
    mechanism = module("dlms_cosem.enumerations").AuthenticationMechanism.HLS_GMAC
    return Stranger(
        meter,
        bench.MANAGEMENT_SAP,
        global_encryption_key=ek,
        global_authentication_key=ak,
        authentication_method=mechanism,
        client_invocation_counter=counter,
        meter_invocation_counter=answers_from,
    )


@pytest.fixture
def meter() -> Any:
    """A meter whose counters have left 0, which this client does not take."""
    meter = bench.Meter()
    meter.store.set_counters(0, tx=1)
    return meter


@pytest.fixture
def stranger(meter: Any) -> Stranger:
    return ciphered(meter).open()


def test_a_public_association_reads_and_is_released(meter: Any) -> None:
    """No security: GET of the device name, RLRQ and RLRE."""
    stranger = Stranger(meter, bench.PUBLIC_SAP).open()
    assert DATA.parse(stranger.get("DATA", bench.NAME, 2)) == octet_string(b"ELS0000000012345")
    stranger.exchange(stranger.connection.get_rlrq())
    assert meter.server.association(bench.PUBLIC_SAP) is None


def test_a_low_level_password(meter: Any) -> None:
    """LLS: the right one reads a register, the wrong one is told so."""
    lls = module("dlms_cosem.enumerations").AuthenticationMechanism.LLS
    stranger = Stranger(meter, bench.READER_SAP, authentication_method=lls, password=bench.PASSWORD).open()
    assert DATA.parse(stranger.get("REGISTER", bench.ENERGY, 2)).value == 576_000
    wrong = Stranger(meter, bench.READER_SAP, authentication_method=lls, password=b"wrong")
    answer = wrong.exchange(wrong.connection.get_aarq())
    assert answer.result == wrong.enums.AssociationResult.REJECTED_PERMANENT


def test_hls_gmac_ciphered_reads_the_clock(meter: Any, stranger: Stranger) -> None:
    """It checks our f(CtoS), our tags and that our counters rise; the time is what it should be."""
    assert meter.server.association(1).established
    assert DATA.parse(stranger.get("CLOCK", bench.CLOCK, 2)).value.hex() == "07e40302010c000000000000"
    assert [answer[0] for answer in stranger.heard] == [0x61, 0xDB, 0xDB]


def test_a_profile_in_blocks(meter: Any, stranger: Stranger) -> None:
    """480 rows to a client that takes 65,535 bytes in one, and to one that takes 300 in blocks."""
    whole = stranger.get("PROFILE_GENERIC", bench.LOAD_PROFILE, 2)
    assert len(DATA.parse(whole).value) == 480
    small = ciphered(meter, stranger.connection.client_invocation_counter + 1,
                     answers_from=stranger.connection.meter_invocation_counter)  # fmt: skip
    small.connection.max_pdu_size = 300
    small.open()
    assert small.get("PROFILE_GENERIC", bench.LOAD_PROFILE, 2) == whole
    assert max(len(answer) for answer in small.heard) <= 300


def test_a_value_is_set(meter: Any, stranger: Stranger) -> None:
    """SET of an unsigned: success, and a constant object denies."""
    data = stranger.enums.CosemInterface.DATA
    for name, status in ((bench.SETTING, "SUCCESS"), (bench.NAME, "READ_WRITE_DENIED")):
        ref = stranger.cosem.CosemAttribute(data, stranger.obis(name), 2)
        answer = stranger.exchange(stranger.xdlms.SetRequestNormal(cosem_attribute=ref, data=b"\x11\x09"))
        assert answer.result == getattr(stranger.enums.DataAccessResult, status)
    assert bench.TREE[1, bench.SETTING].read(meter, 2, bench.NOW).value == 9


def test_the_supply_is_disconnected_by_method_and_by_script(meter: Any, stranger: Stranger) -> None:
    """ACTION on class 70 and class 9; an unknown script comes back as its result."""
    answer = stranger.act("DISCONNECT_CONTROL", bench.SUPPLY, 1, DATA.build(integer(0)))
    assert answer.status == stranger.enums.ActionResultStatus.SUCCESS
    assert not meter.contact
    stranger.act("SCRIPT_TABLE", bench.SUPPLY_SCRIPTS, 1, b"\x12\x00\x02")
    assert meter.contact
    answer = stranger.act("SCRIPT_TABLE", bench.SUPPLY_SCRIPTS, 1, b"\x12\x00\x63")
    assert answer.status == stranger.enums.ActionResultStatus.OBJECT_UNDEFINED


def test_keys_are_transferred(meter: Any, stranger: Stranger) -> None:
    """An array of EK and AK: answered under the old keys, then open under the new ones."""
    new_ek, new_ak = b"\xe1" * 16, b"\xa1" * 16
    items = array(
        structure((enum(key_id), octet_string(keywrap.wrap(bench.KEK, key))))
        for key_id, key in ((0, new_ek), (2, new_ak))
    )
    answer = stranger.act("SECURITY_SETUP", bench.SECURITY, 2, DATA.build(items))
    assert answer.status == stranger.enums.ActionResultStatus.SUCCESS
    counter = stranger.connection.client_invocation_counter + 1
    renewed = ciphered(meter, counter, new_ek, new_ak, stranger.connection.meter_invocation_counter).open()
    assert DATA.parse(renewed.get("DATA", bench.NAME, 2)) == octet_string(b"ELS0000000012345")


def test_our_counters_rise_across_its_associations(meter: Any, stranger: Stranger) -> None:
    """It keeps our last counter from one association to the next and takes nothing below: three in a row open."""
    last = stranger
    for _ in range(3):
        counter, heard = last.connection.client_invocation_counter + 1, last.connection.meter_invocation_counter
        last = ciphered(meter, counter, answers_from=heard).open()
        last.get("DATA", bench.NAME, 2)
    again = ciphered(meter, 1)
    answer = meter.server.receive(1, again.connection.send(again.connection.get_aarq()), bench.NOW)
    assert answer[:3] == b"\xd8\x01\x06"
