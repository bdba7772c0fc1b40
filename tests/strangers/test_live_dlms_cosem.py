"""dlms-cosem 21.3.2, a DLMS client that nobody here wrote, talks to a served estate over a real socket.

It checks every tag and every counter of ours, so what it takes is well protected. It takes keys and addresses from
`smets1 keys --json` alone, and speaks wrapper frames over TCP.
"""

import importlib.util
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from module_kit import module

from emulator.codecs.axdr import DATA, array, enum, integer, long_unsigned, octet_string, structure
from emulator.crypto import keywrap
from emulator.dlms import moment
from emulator.kernel.time import HOUR, MINUTE, instant

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

TITLE = b"DLC\0\0\0\0\1"
CLOCK, TOTAL = (0, 0, 1, 0, 0, 255), (1, 0, 1, 8, 0, 255)
SUPPLY, SECURITY = (0, 0, 96, 3, 10, 255), (0, 0, 43, 0, 0, 255)
ASSOCIATION, AUXILIARY_SCRIPTS, OUTPUT = (0, 0, 40, 0, 0, 255), (0, 0, 10, 0, 103, 255), (0, 1, 96, 3, 10, 255)


class Stranger:
    """A DlmsConnection on a socket of its own."""

    def __init__(self, device: Any, sap: int, **settings: Any) -> None:
        self.cosem = module("dlms_cosem.cosem")
        self.enums = module("dlms_cosem.enumerations")
        self.xdlms = module("dlms_cosem.protocol.xdlms")
        self.device = device
        self.sap = sap
        self.connection = module("dlms_cosem.connection").DlmsConnection(client_system_title=TITLE, **settings)
        self.caller = kit.Caller(device["host"], device["port"])
        self.sent: list[bytes] = []

    def exchange(self, event: Any) -> Any:
        self.sent.append(self.connection.send(event))
        self.caller.send(self.sap, self.device["server_sap"], self.sent[-1])
        self.connection.receive_data(self.caller.hear().payload)
        return self.connection.next_event()

    def open(self) -> "Stranger":
        answer = self.exchange(self.connection.get_aarq())
        assert answer.result == self.enums.AssociationResult.ACCEPTED
        if self.connection.authentication_method == self.enums.AuthenticationMechanism.HLS_GMAC:
            self.act("ASSOCIATION_LN", ASSOCIATION, 1, DATA.build(octet_string(self.connection.get_hls_reply())))
            assert self.connection.state.current_state is module("dlms_cosem.state").READY
        return self

    def get(self, interface: str, name: tuple[int, ...], attribute: int) -> Any:
        """The value, put together from its blocks."""
        ref = self.cosem.CosemAttribute(
            getattr(self.enums.CosemInterface, interface), self.cosem.Obis(*name), attribute
        )
        answer = self.exchange(self.xdlms.GetRequestNormal(cosem_attribute=ref))
        data = b""
        while isinstance(answer, self.xdlms.GetResponseWithBlock):
            data += answer.data
            answer = self.exchange(self.xdlms.GetRequestNext(answer.block_number))
        return DATA.parse(bytes(data + answer.data)).value

    def act(self, interface: str, name: tuple[int, ...], method: int, data: bytes) -> Any:
        ref = self.cosem.CosemMethod(getattr(self.enums.CosemInterface, interface), self.cosem.Obis(*name), method)
        return self.exchange(self.xdlms.ActionRequestNormal(cosem_method=ref, data=data))

    def close(self) -> None:
        self.caller.socket.close()


def counter(device: Any) -> int:
    """Read by the public client, unsecured."""
    public = Stranger(device, device["public_sap"]).open()
    found = int(public.get("DATA", tuple(map(int, device["invocation_counter"]["logical_name"].split("."))), 2))
    public.close()
    return found


def managed(device: Any, **keys: bytes) -> Stranger:
    """An association under HLS-GMAC, authenticated and encrypted."""
    return Stranger(
        device,
        device["client_sap"],
        global_encryption_key=keys.get("ek") or bytes.fromhex(device["ek"]),
        global_authentication_key=keys.get("ak") or bytes.fromhex(device["ak"]),
        authentication_method=module("dlms_cosem.enumerations").AuthenticationMechanism.HLS_GMAC,
        client_invocation_counter=counter(device),
    )


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    module("dlms_cosem")
    with kit.served("--state", str(tmp_path_factory.mktemp("state") / "street")) as found:
        yield found


def test_clock_registers_and_object_list(street: Any) -> None:
    """Year of the virtual day, a total, and an object list that names clock and supply switch."""
    stranger = managed(street.keys(0, "electricity")).open()
    shown = moment.decode(bytes(stranger.get("CLOCK", CLOCK, 2)))
    begun = instant(datetime(2020, 3, 2, tzinfo=UTC))  # midnight: a slow clock may still show the day before
    assert shown is not None
    assert -MINUTE < shown - begun < HOUR
    assert stranger.get("REGISTER", TOTAL, 2) > 0
    items = stranger.get("ASSOCIATION_LN", ASSOCIATION, 2)
    listed = {(item.value[0].value, tuple(item.value[2].value)) for item in items}
    assert {(8, CLOCK), (3, TOTAL), (70, SUPPLY)} <= listed
    stranger.close()


def test_supply_and_an_auxiliary_load_are_switched(street: Any) -> None:
    """Disconnect by method; an auxiliary switch on and off by its scripts."""
    stranger = managed(street.keys(1, "electricity")).open()
    done = stranger.act("DISCONNECT_CONTROL", SUPPLY, 1, DATA.build(integer(0)))
    assert done.status == stranger.enums.ActionResultStatus.SUCCESS
    assert stranger.get("DISCONNECT_CONTROL", SUPPLY, 2) is False
    states = []
    for script in (0x1111, 0x0112):
        stranger.act("SCRIPT_TABLE", AUXILIARY_SCRIPTS, 1, DATA.build(long_unsigned(script)))
        states.append(stranger.get("DISCONNECT_CONTROL", OUTPUT, 2))
    assert states == [True, False]
    stranger.close()


def test_keys_are_changed_and_the_old_ones_refused(street: Any) -> None:
    """The new pair opens and is what `keys` says; under the old one nothing opens, and no counter moves."""
    device = street.keys(0, "gas")
    stranger = managed(device).open()
    pair = b"\xe2" * 16, b"\xa2" * 16
    items = array(
        structure((enum(key_id), octet_string(keywrap.wrap(bytes.fromhex(device["kek"]), key))))
        for key_id, key in zip((0, 2), pair, strict=True)
    )
    done = stranger.act("SECURITY_SETUP", SECURITY, 2, DATA.build(items))
    assert done.status == stranger.enums.ActionResultStatus.SUCCESS
    stranger.close()
    now = street.keys(0, "gas")
    assert (now["ek"], now["ak"]) == (pair[0].hex(), pair[1].hex())
    managed(now).open().close()
    before = counter(now)
    old = managed(device)
    old.caller.send(old.sap, device["server_sap"], old.connection.send(old.connection.get_aarq()))
    assert old.caller.hear().payload[:1] == b"\xd8"
    old.close()
    assert counter(now) == before


def test_a_replay_is_refused(street: Any) -> None:
    """A ciphered request heard twice is carried out once: the second time the meter names its counter."""
    stranger = managed(street.keys(6, "electricity")).open()
    stranger.act("DISCONNECT_CONTROL", SUPPLY, 1, DATA.build(integer(0)))
    stranger.caller.send(stranger.sap, stranger.device["server_sap"], stranger.sent[-1])
    assert stranger.caller.hear().payload[:3] == b"\xd8\x01\x06"
    stranger.close()
