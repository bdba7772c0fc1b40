"""Associations on the server's side: what a device knows of one client while they talk (DLMS UA 1000-2 9.3.2).

There is one `Association` a client SAP and it is volatile: a power cut forgets it. Counters and keys are not here.
They belong to the client's security context and outlive every association, which is why no counter is ever used
twice however often a client comes and goes. `opening` judges who gets one.
"""

from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.codecs.acse import (
    Mechanism,
)
from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, bit_string, integer, long_unsigned, octet_string, structure, unsigned
from emulator.codecs.glo import GLO, Ciphered
from emulator.dlms import security
from emulator.dlms.blocks import Incoming, Outgoing
from emulator.dlms.classes.association_ln import AssociationLN
from emulator.dlms.classes.security_setup import SecuritySetup, required_of_answers
from emulator.dlms.cosem import DEDICATED, ActionRefused, Device
from emulator.errors import CryptoError, TagError

PENDING: Final = 1
ASSOCIATED: Final = 2

DLMS_VERSION: Final = 6

GLO_INITIATE_REQUEST: Final = 0x21
_GLO_INITIATE_RESPONSE: Final = 0x28
_CHALLENGE_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """How a device receives one client: its association object (mechanism, context, rights, secret) and, where it has
    keys, its security setup (policy)."""

    association: AssociationLN
    security: SecuritySetup | None = None

    def required(self, device: Device) -> int:
        """Security control bits every request of this client must carry."""
        setup = self.security
        return 0 if setup is None else setup.required(device)

    def required_of_answers(self, device: Device) -> int:
        """What every answer must carry beyond its request: version 1 policies say it apart, version 0 ones do not."""
        setup = self.security
        return 0 if setup is None or setup.version == 0 else required_of_answers(setup.policy(device))


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Association:
    """One client, from its AARQ on. `limit` is the longest APDU it takes; `kind`, `control` and `authenticated`
    describe the request being answered."""

    __slots__ = (
        "_ctos",
        "_peer_before",
        "_stoc",
        "authenticated",
        "client",
        "client_sap",
        "client_title",
        "conformance",
        "control",
        "dedicated",
        "incoming",
        "index",
        "kind",
        "limit",
        "outgoing",
        "server_max_pdu",
        "server_title",
        "state",
    )

    def __init__(self, client: ClientProfile, index: int) -> None:
        self.client = client
        self.client_sap = client.association.client_sap
        self.index = index
        self.state = PENDING
        self.conformance = 0
        self.limit = 0
        self.server_max_pdu = 0
        self.client_title = b""
        self.server_title = b""
        self.dedicated = -1
        self.kind = security.PLAIN
        self.control = 0
        self.authenticated = False
        self.outgoing: Outgoing | None = None
        self.incoming: Incoming | None = None
        self._ctos = b""
        self._stoc = b""
        self._peer_before: bytes | None = None

    @property
    def established(self) -> bool:
        return self.state == ASSOCIATED

    def status(self) -> int:
        return self.state

    def room(self) -> int:
        """Bytes that an answer may have before it is protected."""
        return self.limit - security.OVERHEAD[self.kind]

    def context_info(self) -> Data:
        """Attribute 5 of Association LN: conformance, sizes, version, quality, cyphering info."""
        return structure(
            (
                bit_string(f"{self.conformance:024b}"),
                long_unsigned(self.server_max_pdu),
                long_unsigned(self.limit if self.limit < 0xFFFF else 0),
                unsigned(DLMS_VERSION),
                integer(0),
                octet_string(b""),
            )
        )

    def challenge(self, device: Device, ctos: bytes) -> bytes | None:
        """Keep the client's challenge and make our own; None where only the client's own comes out."""
        self._ctos = ctos
        for _ in range(_CHALLENGE_TRIES):
            stoc = device.challenge()
            if stoc != ctos:  # a reflected challenge would let a client answer with our own reply
                self._stoc = stoc
                return stoc
        return None

    def check_reply(self, device: Device, reply: bytes) -> bytes:
        """Pass 3: f(StoC) against our challenge. Returns f(CtoS), pass 4. Raises `ActionRefused`; the association is
        then to be dropped."""
        if self.state != PENDING or not self._stoc:
            raise ActionRefused(ActionResult.OTHER_REASON, "no authentication is under way")
        stoc, self._stoc = self._stoc, b""  # one try
        try:
            answer = self._checked(device, reply, stoc)
        except CryptoError as error:
            self.forget_title(device)
            device.note("dlms.authentication-failed", self.client_sap)
            raise ActionRefused(ActionResult.OTHER_REASON, "authentication failed") from error
        self.state = ASSOCIATED
        self._peer_before = None
        device.note("dlms.associated", self.client_sap, int(self.client.association.mechanism))
        return answer

    def _checked(self, device: Device, reply: bytes, stoc: bytes) -> bytes:
        if self.client.association.mechanism == Mechanism.HLS_GMAC:
            parts = security.parse_gmac_reply(reply)
            if parts is None:
                raise TagError("not a GMAC reply")
            counter, tag = parts
            device.store.check_gmac(self.index, counter, tag, stoc)
            return security.gmac_reply(*device.store.gmac(self.index, self._ctos))
        secret = self.client.association.secret_of(device)
        titles = self.client_title, self.server_title
        if not security.same(reply, security.sha256_reply(secret, *titles, stoc, self._ctos)):
            raise TagError("not the reply to this challenge")
        return security.sha256_reply(secret, *titles[::-1], self._ctos, stoc)

    def learn_title(self, device: Device, title: bytes | None, learns: bool) -> bool:
        """The client calls itself `title` (None: not said). Taken as its title until it fails to prove itself; False
        where the device knows another one and does not learn."""
        state = device.store.state(self.index)
        self.server_title = state.title
        self.client_title = state.peer if title is None else title
        if self.client_title == state.peer:
            return True
        if not learns or len(self.client_title) != 8:
            return False
        self._peer_before = state.peer
        device.store.set_peer(self.index, self.client_title)
        return True

    def forget_title(self, device: Device) -> None:
        """The client did not prove itself: its context has the title it had."""
        if self._peer_before is not None:
            device.store.set_peer(self.index, self._peer_before)
            self._peer_before = None

    def open_initiate(self, device: Device, apdu: bytes) -> bytes | None:
        """The InitiateRequest inside a glo-InitiateRequest; None when it carries less protection than the policy asks
        for, which is judged first: what has no tag must not move a counter. Raises FrameError, CryptoError."""
        frame = GLO.parse(apdu)
        if frame.tag != GLO_INITIATE_REQUEST or frame.security_control not in security.ACCEPTABLE:
            raise TagError("not a glo-initiate-request of suite 0")
        required = self.client.required(device)
        if frame.security_control & required != required:
            return None
        plain = device.store.open(self.index, frame.security_control, frame.invocation_counter, frame.text)
        self.control = frame.security_control
        self._peer_before = None  # whoever has the keys is who it says
        return plain

    def seal_initiate(self, device: Device, apdu: bytes) -> bytes:
        """A glo-InitiateResponse, as strong as the request was."""
        counter, text = device.store.seal(self.index, self.control, apdu)
        return GLO.build(Ciphered(_GLO_INITIATE_RESPONSE, self.control, counter, text))

    def use_dedicated(self, device: Device, key: bytes) -> None:
        """Take a dedicated key into use, where the device has a context to lend: counters from 0, EK replaced."""
        spare = device.contexts.get(DEDICATED)
        if spare is None:
            return
        exported = device.store.export(self.index)
        device.store.restore(spare, exported)
        exported[:] = bytes(len(exported))
        device.store.install(spare, ek=key, reset=True)
        self.dedicated = spare
