"""Association LN, class 15 version 1 (DLMS UA 1000-1 4.4.4): one client's view of the device, and its way in.

There is one object a client SAP. It holds the client's access table, which the server obeys and attribute 2 shows,
and the client's secret. What is true only while an association lives (status, negotiated sizes, the challenge)
belongs to `association.Association`; the object asks the one its request came by. The server also answers for
0-0:40.0.0.255, the *current* association, with the object of the client that asks.

Method 1 is pass 3 of HLS authentication; it is the one method a client may call while its association is still pending.
Mechanism 5 has no secret of its own (it uses AK and EK), so method 2, change HLS secret, acts for the mechanisms that
have one and is refused for the others.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from emulator.codecs.acse import Context, Mechanism
from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, enum, integer, long_unsigned, null, octet_string, structure, unsigned
from emulator.codecs.get import DataAccessResult, SelectiveAccess
from emulator.dlms.access import AccessTable
from emulator.dlms.cosem import (
    AccessRefused,
    ActionRefused,
    CosemObject,
    Device,
    computed,
    constant,
    obis,
    octets,
    stored,
)
from emulator.dlms.tree import ObjectTree
from emulator.kernel.effects import Instant

CURRENT: Final = bytes((0, 0, 40, 0, 0, 255))

_CONTEXT_NAME: Final = bytes.fromhex("60857405080100")
_MECHANISM_NAME: Final = bytes.fromhex("60857405080200")
_SECRET_ATTRIBUTE: Final = 7
_MAX_SECRET: Final = 64

_WITHOUT_RIGHTS: Final = 1
_BY_CLASS: Final = 2
_BY_NAMES: Final = 3
_BY_NAME: Final = 4


class AssociationLN(CosemObject):
    """Attributes: 2 object list, 3 associated partners, 4 application context name, 5 xDLMS context info, 6 mechanism
    name, 7 secret, 8 status, 9 security setup reference. Methods: 1 reply to HLS authentication, 2 change HLS
    secret."""

    __slots__ = ("_list", "client_sap", "context", "mechanism", "needs_keys", "rights")
    class_id: ClassVar[int] = 15
    methods: ClassVar[Mapping[int, str]] = {1: "reply_to_hls_authentication", 2: "change_hls_secret"}
    selective = frozenset({2})

    def __init__(
        self,
        logical_name: bytes | str,
        client_sap: int,
        rights: AccessTable,
        *,
        server_sap: int = 1,
        context: int = Context.LN,
        mechanism: int = Mechanism.NONE,
        secret: bytes | Callable[[Device], bytes] = b"",
        security_setup: bytes | str | None = None,
        name: str = "",
    ) -> None:
        """`context` 1 plain or 3 ciphered; `secret` is the LLS password (or the secret of mechanism 6), the same for
        the model or made from the device; `security_setup` the logical name of the object of class 64."""
        setup = obis(security_setup) if isinstance(security_setup, str) else security_setup
        if callable(secret):
            make = secret
            secret_binding = stored(lambda device: octet_string(make(device)), octets(0, _MAX_SECRET))
        else:
            secret_binding = stored(octet_string(secret), octets(0, _MAX_SECRET))
        super().__init__(
            logical_name,
            (
                computed(lambda device, now: self._whole_list(device.objects)),
                constant(structure((integer(client_sap), long_unsigned(server_sap)))),
                constant(octet_string(_CONTEXT_NAME[:-1] + bytes((context,)))),
                computed(self._context_info),
                constant(octet_string(_MECHANISM_NAME[:-1] + bytes((mechanism,)))),
                secret_binding,
                computed(self._status),
                constant(octet_string(setup or bytes(6))),
            ),
            name=name,
            version=1,
        )
        self.client_sap = client_sap
        self.rights = rights
        self.mechanism = mechanism
        self.context = context
        self.needs_keys = context == Context.LN_CIPHERED or mechanism in (Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)
        self._list: tuple[ObjectTree, Data] | None = None

    def secret_of(self, device: Device) -> bytes:
        """The password or secret of this client on `device`."""
        return bytes(self.read(device, _SECRET_ATTRIBUTE, 0).value)

    def _context_info(self, device: Device, now: Instant) -> Data:
        association = device.association
        if association is None or association.client_sap != self.client_sap:
            raise AccessRefused(DataAccessResult.OBJECT_UNAVAILABLE, "this association does not stand")
        return association.context_info()

    def _status(self, device: Device, now: Instant) -> Data:
        association = device.association
        if association is None or association.client_sap != self.client_sap:
            return enum(0)
        return enum(association.status())

    # The object list

    def _element(self, item: CosemObject, with_rights: bool = True) -> Data:
        parts = [long_unsigned(item.class_id), unsigned(item.version), octet_string(item.logical_name)]
        if with_rights:
            parts.append(self._rights(item))
        return structure(parts)

    def _rights(self, item: CosemObject) -> Data:
        attributes, methods = self.rights.modes(item)
        return structure(
            (
                array(
                    structure(
                        (
                            integer(number),
                            enum(attributes[number]),
                            array((integer(1), integer(2))) if number in item.selective else null(),
                        )
                    )
                    for number in range(1, len(attributes))
                ),
                array(structure((integer(number), enum(mode))) for number, mode in methods.items()),
            )
        )

    def _whole_list(self, objects: ObjectTree) -> Data:
        """Made once for every tree of objects: it is the same for all devices of a model."""
        if self._list is None or self._list[0] is not objects:
            self._list = objects, array(self._element(item) for item in self._seen(objects))
        return self._list[1]

    def _seen(self, objects: ObjectTree) -> list[CosemObject]:
        return [item for item in objects.values() if self.rights.visible(item)]

    def select(self, device: Device, attribute: int, access: SelectiveAccess, now: Instant) -> Data:
        """Selector 1: all, without rights; 2: of these classes, without rights; 3: these objects; 4: this object's
        rights."""
        seen = self._seen(device.objects)
        asked = access.parameters
        if access.selector == _WITHOUT_RIGHTS:
            return array(self._element(item, with_rights=False) for item in seen)
        if access.selector == _BY_CLASS and asked.tag == Tag.ARRAY:
            classes = {item.value for item in asked.value if item.tag == Tag.LONG_UNSIGNED}
            return array(self._element(item, with_rights=False) for item in seen if item.class_id in classes)
        if access.selector == _BY_NAMES and asked.tag == Tag.ARRAY:
            names = [_object_id(item) for item in asked.value]
            return array(self._element(item) for item in seen if (item.class_id, item.logical_name) in names)
        if access.selector == _BY_NAME:
            name = _object_id(asked)
            for item in seen:
                if (item.class_id, item.logical_name) == name:
                    return self._element(item)
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED, "no such object in this association")
        raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "no such selection of the object list")

    # Methods

    def act_reply_to_hls_authentication(self, device: Device, data: Data, now: Instant) -> Data:
        """Checks f(StoC) and answers f(CtoS); the association stands from then on (DLMS UA 1000-2 9.2.7.4)."""
        association = device.association
        if association is None or association.client_sap != self.client_sap:
            raise ActionRefused(ActionResult.OTHER_REASON, "no association of this client is being opened")
        if data.tag != Tag.OCTET_STRING:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "an octet string is wanted")
        return octet_string(association.check_reply(device, data.value))

    def act_change_hls_secret(self, device: Device, data: Data, now: Instant) -> None:
        if self.mechanism in (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC):
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "this mechanism has no HLS secret")
        self.set(device, _SECRET_ATTRIBUTE, data, now)


def _object_id(data: Data) -> tuple[int, bytes]:
    if data.tag != Tag.STRUCTURE or [item.tag for item in data.value] != [Tag.LONG_UNSIGNED, Tag.OCTET_STRING]:
        raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "an object is named by class id and logical name")
    return data.value[0].value, data.value[1].value
