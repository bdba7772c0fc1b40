"""The server: one APDU of one client in, its answer out.

A `Server` is made each time a device wakes, so it is four slots and nothing is looked up before a frame asks for it. It
knows which association a client has, opens what is protected, hands the rest to `opening` and `services`, and
protects the answer as its request was. It knows no objects and no bytes of theirs.

Nothing leaves `receive` as an exception, whatever the bytes. What is wrong with a request is said three ways, as the
standard has it: a result inside the answer (an object refused), an exception response (a service was refused), or
what the device's profile says of bad counters and bad tags. Each is noted.

New keys are taken into use when the answer to their transfer has been made, under the old ones (`Device.pending`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from emulator.codecs.axdr import Data
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.exception import ServiceError, StateError
from emulator.codecs.glo import DEDICATED, GENERAL_DED, GENERAL_GLO, GLO, PLAIN, Ciphered, GeneralCiphered
from emulator.codecs.initiate import Conformance
from emulator.dlms import moment, security
from emulator.dlms.association import ASSOCIATED, Association, ClientProfile
from emulator.dlms.classes.clock import Clock
from emulator.dlms.cosem import Device
from emulator.dlms.opening import Terms, associate, release
from emulator.dlms.security import Reaction, ServiceRefused, not_allowed
from emulator.dlms.services import HANDLERS
from emulator.dlms.witness import Witness
from emulator.errors import CounterExhaustedError, CryptoError, EmulatorError, FrameError, ReplayError
from emulator.kernel.effects import Instant

DEFAULT_CONFORMANCE: Final = int(
    Conformance.GENERAL_PROTECTION
    | Conformance.PRIORITY
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.DATA_NOTIFICATION
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)

_ACTION: Final = 0xC3
_AARQ: Final = 0x60
_RLRQ: Final = 0x62
_GENERAL_GLO: Final = 0xDB
_GENERAL_DED: Final = 0xDC
_EXCEPTION: Final = 0xD8
_CLOCK: Final = (8, bytes((0, 0, 1, 0, 0, 255)))
_PUSH_CONTROL: Final = 0x30
_NOT_OPEN: Final = "no association is open"


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """How the devices of a model behave towards their clients; shared by all of them.

    `clients` by SAP; `management` is the SAP whose context protects notifications; `max_pdu` the longest APDU the
    device takes (bytes); the two reactions are to a counter below the lowest acceptable one and to a tag that does
    not hold.
    """

    clients: Mapping[int, ClientProfile]
    management: int = 1
    max_pdu: int = 1024
    conformance: int = DEFAULT_CONFORMANCE
    bad_counter: Reaction = Reaction.EXCEPTION
    bad_tag: Reaction = Reaction.EXCEPTION
    learns_titles: bool = True
    plain_release: bool = True
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        terms = Terms(self.conformance, self.max_pdu, self.learns_titles, self.plain_release)
        object.__setattr__(self, "terms", terms)


class Server:
    """The COSEM server of one device. Volatile: `drop` is what a power cut does to it."""

    __slots__ = ("_associations", "device", "overrule", "profile", "witness")

    def __init__(self, device: Device, profile: ServerProfile) -> None:
        self.device = device
        self.profile = profile
        self.witness: Witness | None = getattr(device, "witness", None)
        self.overrule: Callable[[bool, Reaction], Reaction] | None = None
        """(whether it is the counter that is bad, the profile's reaction) -> what to do instead."""
        self._associations: dict[int, Association] | None = None

    def drop(self) -> None:
        """Forget every association."""
        self._associations = None

    def association(self, client_sap: int) -> Association | None:
        """The association of a client, open or being opened."""
        return None if self._associations is None else self._associations.get(client_sap)

    def receive(self, client_sap: int, apdu: bytes, now: Instant) -> bytes | None:
        """Answer one APDU of the client at `client_sap`; None where there is no answer. Raises nothing."""
        device = self.device
        association = None if self._associations is None else self._associations.get(client_sap)
        device.association = association
        witness = self.witness
        if witness is not None:
            witness.hears(device, association, client_sap, apdu, now)
        try:
            answer = self._answer(client_sap, association, apdu, now)
        except ServiceRefused as refusal:
            device.note("dlms.refused", client_sap, int(refusal.state), int(refusal.service), refusal.reason)
            answer = refusal.apdu()
        except FrameError as error:
            device.note("dlms.malformed", error.codec, error.reason, error.offset)
            answer = _MALFORMED
        except CryptoError as wrong:
            answer = self.react(client_sap, wrong)
        except Exception as fault:  # a fault of ours must not take the estate down, and must be seen
            device.note("dlms.fault", type(fault).__name__, str(fault))
            answer = _FAULT
        finally:
            device.association = None
        pending = device.pending
        while pending:
            self._settle(pending.pop(0))
        if witness is not None:
            witness.answers(device, client_sap, apdu, answer, now)
        return answer

    def notify(self, body: Data, now: Instant) -> bytes:
        """`body` as a DataNotification in general-glo-ciphering, under the management client's context; plain on a
        device that has no keys for it. Raises CounterExhaustedError."""
        device = self.device
        clock = device.objects.find(_CLOCK)
        stamp = clock.shown(device, now) if isinstance(clock, Clock) else moment.encode(now)
        index = device.contexts.get(self.profile.management, -1)
        if index < 0 or not device.store.loaded(index):
            return DATA_NOTIFICATION.build(DataNotification(0, stamp, body))
        state = device.store.state(index)
        apdu = DATA_NOTIFICATION.build(DataNotification(state.tx & 0xFF_FFFF, stamp, body))
        counter, text = device.store.seal(index, _PUSH_CONTROL, apdu)
        return GENERAL_GLO.build(GeneralCiphered(state.title, _PUSH_CONTROL, counter, text))

    # Inside

    def _answer(self, client_sap: int, association: Association | None, apdu: bytes, now: Instant) -> bytes | None:
        if not apdu:
            raise ServiceRefused(StateError.SERVICE_UNKNOWN, ServiceError.OPERATION_NOT_POSSIBLE, "nothing was sent")
        tag = apdu[0]
        if association is not None:
            if len(apdu) > self.profile.max_pdu:
                raise not_allowed("longer than this device takes", ServiceError.PDU_TOO_LONG)
            if tag in PLAIN:
                return self._ciphered(association, apdu, now)
            if tag in HANDLERS:
                return self._plain(association, apdu, now)
            if tag in (_GENERAL_GLO, _GENERAL_DED):
                return self._general(association, apdu, now)
            if tag == _RLRQ:
                return self._release(association, apdu)
        if tag == _AARQ:
            return self._associate(client_sap, apdu)
        if tag in PLAIN or tag in HANDLERS or tag in (_GENERAL_GLO, _GENERAL_DED, _RLRQ):
            raise not_allowed(_NOT_OPEN)
        raise _unknown(tag)

    def _associate(self, client_sap: int, apdu: bytes) -> bytes | None:
        client = self.profile.clients.get(client_sap)
        if client is None:
            self.device.note("dlms.unknown-client", client_sap)
            return None
        # A refused AARQ leaves an open association as it was: anyone can send one.
        answer, association = associate(self.device, self.profile.terms, client, apdu)
        if association is not None:
            if self._associations is None:
                self._associations = {}
            self._associations[client_sap] = association
        return answer

    def _release(self, association: Association, apdu: bytes) -> bytes:
        answer = release(self.device, self.profile.terms, association, apdu)
        if answer is None:
            raise not_allowed("an unprotected release")
        self.forget(association.client_sap)
        return answer

    def forget(self, client_sap: int) -> None:
        """Forget the association of a client, if there is one."""
        if self._associations is not None:
            self._associations.pop(client_sap, None)

    def _plain(self, association: Association, apdu: bytes, now: Instant) -> bytes | None:
        """A request without protection."""
        client, device = association.client, self.device
        wanted = client.required(device) | client.required_of_answers(device)
        if wanted and not _is_hls_reply(association, apdu):
            raise not_allowed("the security policy asks for more")
        association.kind, association.control, association.authenticated = security.PLAIN, 0, False
        return self._serve(association, apdu, now)

    def _ciphered(self, association: Association, apdu: bytes, now: Instant) -> bytes | None:
        """A glo- or ded- request; the answer takes the same form."""
        frame = GLO.parse(apdu)
        tag = frame.tag
        if PLAIN[tag] not in HANDLERS:
            raise _unknown(tag)
        index = association.index
        kind = security.GLO
        if tag in DEDICATED:
            index, kind = association.dedicated, security.DED
            if index < 0:
                raise not_allowed("no dedicated key is in use", ServiceError.SERVICE_NOT_SUPPORTED)
        control = frame.security_control
        plain = self._open(association, index, control, frame.invocation_counter, frame.text)
        if not plain or plain[0] != PLAIN[tag]:
            raise FrameError("glo", "the APDU inside is not of its kind")
        association.kind, association.control = kind, control
        association.authenticated = control & security.AUTHENTICATED != 0
        answer = self._serve(association, plain, now)
        if answer is None or answer[0] == _EXCEPTION:
            return answer
        setup = association.client.security
        if setup is not None and setup.version:  # version 0 says nothing of answers, and nearly all are of it
            control |= association.client.required_of_answers(self.device)
        try:
            counter, text = self.device.store.seal(index, control, answer)
        except CounterExhaustedError:
            raise self._exhausted(index) from None
        return GLO.build(Ciphered(answer[0] + (8 if kind == security.GLO else 16), control, counter, text))

    def _general(self, association: Association, apdu: bytes, now: Instant) -> bytes | None:
        """A request in general-glo- or general-ded-ciphering."""
        dedicated = apdu[0] == _GENERAL_DED
        codec = GENERAL_DED if dedicated else GENERAL_GLO
        frame = codec.parse(apdu)
        index = association.dedicated if dedicated else association.index
        if index < 0:
            raise not_allowed("there is no key for this", ServiceError.SERVICE_NOT_SUPPORTED)
        if frame.system_title not in (b"", association.client_title):
            raise not_allowed("sealed by somebody else", ServiceError.DECIPHERING_ERROR)
        control = frame.security_control
        plain = self._open(association, index, control, frame.invocation_counter, frame.text)
        if not plain or plain[0] not in HANDLERS:
            raise _unknown(plain[0] if plain else 0)
        association.kind, association.control = security.GENERAL, control
        association.authenticated = control & security.AUTHENTICATED != 0
        answer = self._serve(association, plain, now)
        if answer is None or answer[0] == _EXCEPTION:
            return answer
        control |= association.client.required_of_answers(self.device)
        try:
            counter, text = self.device.store.seal(index, control, answer)
        except CounterExhaustedError:
            raise self._exhausted(index) from None
        return codec.build(GeneralCiphered(association.server_title, control, counter, text))

    def _open(self, association: Association, index: int, control: int, counter: int, text: bytes) -> bytes:
        if control not in security.ACCEPTABLE or index < 0:
            raise not_allowed("protected in a way that is not known here", ServiceError.DECIPHERING_ERROR)
        # Before opening: an encrypted-only message has no tag, and whoever bends one into that form must not move
        # the counter of a device that asks for authentication.
        setup = association.client.security
        required = 0 if setup is None else setup.required(self.device)
        if control & required != required:
            raise not_allowed("the security policy asks for more")
        return self.device.store.open(index, control, counter, text)

    def _exhausted(self, index: int) -> ServiceRefused:
        self.device.note("dlms.counter-exhausted", index)
        return not_allowed("no counter is left", ServiceError.OTHER_REASON)

    def _serve(self, association: Association, apdu: bytes, now: Instant) -> bytes | None:
        handler, bit = HANDLERS[apdu[0]]
        if not association.conformance & bit:
            raise not_allowed("the service was not negotiated", ServiceError.SERVICE_NOT_SUPPORTED)
        witness = self.witness
        if witness is not None:
            witness.serves(self.device, association, apdu, now)
        if association.state == ASSOCIATED:
            answer = handler(self.device, association, apdu, now)
            if witness is not None:
                witness.served(self.device, association, apdu, answer, now)
            return answer
        if apdu[0] != _ACTION:
            raise not_allowed(_NOT_OPEN)
        answer = handler(self.device, association, apdu, now)
        if association.state != ASSOCIATED:
            self.forget(association.client_sap)
        return answer

    def react(self, client_sap: int, error: CryptoError) -> bytes | None:
        """What this device does with a request that does not open: what it answers, None for nothing."""
        replay = isinstance(error, ReplayError)
        reaction = self.profile.bad_counter if replay else self.profile.bad_tag
        if self.overrule is not None:
            reaction = self.overrule(replay, reaction)
        self.device.note("dlms.replay" if replay else "dlms.not-opened", client_sap, str(error))
        if reaction is Reaction.CLOSE:
            self.forget(client_sap)
        if reaction in (Reaction.CLOSE, Reaction.SILENCE):
            return None
        service, expected = ServiceError.OPERATION_NOT_POSSIBLE, None
        if reaction is Reaction.EXCEPTION:
            service = ServiceError.DECIPHERING_ERROR
            if isinstance(error, ReplayError):
                service, expected = ServiceError.INVOCATION_COUNTER_ERROR, min(error.expected, 0xFFFF_FFFF)
        return ServiceRefused(StateError.SERVICE_NOT_ALLOWED, service, expected=expected).apdu()

    def _settle(self, step: Callable[[], None]) -> None:
        try:
            step()
        except EmulatorError as error:
            self.device.note("dlms.not-settled", type(error).__name__, str(error))


def _unknown(tag: int) -> ServiceRefused:
    reason = f"no service has tag {tag:02X}"
    return ServiceRefused(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED, reason)


def _is_hls_reply(association: Association, apdu: bytes) -> bool:
    """Whether this can only be pass 3, which proves itself (anything else is refused while an association is
    pending)."""
    return apdu[0] == _ACTION and not association.established


_MALFORMED: Final = ServiceRefused(StateError.SERVICE_UNKNOWN, ServiceError.OTHER_REASON).apdu()
_FAULT: Final = ServiceRefused(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON).apdu()
