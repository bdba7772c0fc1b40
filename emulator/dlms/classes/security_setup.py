"""Security setup, class 64 versions 0 and 1 (DLMS UA 1000-1 4.4.7): policy, titles, and the transfer of keys.

A key transfer is all or nothing. Every item is looked at first (its shape, its key id, that no id comes twice, its
length), then every item is unwrapped under the *present* master key, and only when all of that went well are the keys
handed on, to be taken into use after the answer has been made under the old ones (the answer's caller does
that through `device.pending`). A meter that stops half way through an array is a meter lost.

What is transferred: 0 the unicast encryption key (EK), 1 the broadcast key, 2 the authentication key (AK), 3 the
master key (KEK). The broadcast key is kept as it came, wrapped, and rewrapped when the master key changes: a device
keeps it without a context of its own, and no plain key lies outside the store.

How a model keeps its keys can be other than that (`KeyHabits`): it may take a transfer item by item, write keys in
another order, or lose some on the way.

The security policy is only ever strengthened: a new policy must ask for everything the old one did.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import ClassVar, Final, Protocol

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, enum, octet_string
from emulator.codecs.get import DataAccessResult
from emulator.dlms.cosem import AccessRefused, ActionRefused, CosemObject, Device, Key, computed, constant
from emulator.errors import CryptoError, NoKeyError
from emulator.kernel.effects import Instant

EK: Final = 0
BROADCAST_KEY: Final = 1
AK: Final = 2
KEK: Final = 3

POLICY: Final = -2
"""Where the policy in force is remembered, as an enum, when it is not the model's."""
_BROADCAST_WRAPPED: Final = -1
_WRAPPED_LENGTH: Final = 24
_V0_POLICIES: Final = range(4)
_V1_BITS: Final = 0x6C
"""Requests and responses authenticated and encrypted; signing (10h, 80h) belongs to suites 1 and 2."""


def required(version: int, policy: int) -> int:
    """The security control bits (10h authenticated, 20h encrypted) that a request must carry under `policy`."""
    return policy << 4 if version == 0 else (policy & 0x0C) << 2


def required_of_answers(policy: int) -> int:
    """The same for a response, under a version 1 policy (in version 0 both are one)."""
    return (policy & 0x60) >> 1


class KeyHabits(Protocol):
    """How a model keeps its keys; shared by its devices. `order` is that of the key ids when they are taken into use;
    `item_by_item`: each item of a transfer is taken by itself, up to the first bad one."""

    @property
    def order(self) -> tuple[int, ...]: ...

    @property
    def item_by_item(self) -> bool: ...

    def arrives(self, setup: "SecuritySetup", device: Device, index: int, now: Instant) -> None:
        """A transfer has come and was not looked at: what fell due among the keys since the last one is done."""

    def accepts(self, device: Device, key_ids: tuple[int, ...], now: Instant) -> int | None:
        """How many of these keys take, the transfer being refused then; None: all, as it should be."""

    def steps(
        self, setup: "SecuritySetup", device: Device, index: int, keys: dict[int, bytearray], now: Instant
    ) -> list[Callable[[], None]] | None:
        """What is done once the answer was made, instead of a commitment a key; None: nothing else."""


class SecuritySetup(CosemObject):
    """Attributes: 2 policy, 3 suite, 4 client system title, 5 server system title; version 1 also 6 certificates
    (none). Methods: 1 security activate, 2 key transfer."""

    __slots__ = (
        "_default_policy",
        "_default_required",
        "_habits",
        "_master_changes",
        "_order",
        "_policy_key",
        "_reset_counters",
        "client_sap",
    )
    class_id: ClassVar[int] = 64
    methods: ClassVar[Mapping[int, str]] = {1: "security_activate", 2: "key_transfer"}

    def __init__(
        self,
        logical_name: bytes | str = "0-0:43.0.0.255",
        *,
        client_sap: int = 1,
        policy: int = 3,
        suite: int = 0,
        version: int = 0,
        master_key_changes: bool = True,
        reset_counters: bool = False,
        habits: KeyHabits | None = None,
        name: str = "",
    ) -> None:
        """`client_sap` says whose context the keys are; `policy` is what the model is made with (0..3 in version 0,
        bits in version 1); `master_key_changes` whether the KEK can be replaced over the air; `reset_counters`
        whether a new EK starts both counters at 0 (profile default, DLMS UA 1000-2 leaves it to the companion);
        `habits` how keys are kept, where it is not at once and for good."""
        attributes = [
            computed(lambda device, now: enum(self.policy(device))),
            constant(enum(suite)),
            computed(self._client_title, self._write_client_title),
            computed(self._server_title),
        ]
        if version >= 1:
            attributes.append(constant(array(())))
        super().__init__(logical_name, attributes, name=name, version=version)
        self._default_policy = policy
        self._default_required = required(version, policy)
        self._policy_key: Key = (self.class_id, self.logical_name, POLICY)
        self.client_sap = client_sap
        self._master_changes = master_key_changes
        self._reset_counters = reset_counters
        self._habits = habits
        self._order = (EK, BROADCAST_KEY, AK, KEK) if habits is None else habits.order

    @property
    def reset_counters(self) -> bool:
        """Whether a new EK starts both counters at 0."""
        return self._reset_counters

    def policy(self, device: Device) -> int:
        """The policy in force on `device`."""
        kept = device.deviations.get(self._policy_key)
        return self._default_policy if kept is None else int(kept.value)

    def required(self, device: Device) -> int:
        """The security control bits that a request must carry on `device`; asked for every request, so that the usual
        answer is made beforehand."""
        kept = device.deviations.get(self._policy_key)
        return self._default_required if kept is None else required(self.version, int(kept.value))

    def _context(self, device: Device) -> int:
        index = device.contexts.get(self.client_sap)
        if index is None or not device.store.loaded(index):
            raise AccessRefused(DataAccessResult.OBJECT_UNAVAILABLE, "this client has no keys here")
        return index

    def _client_title(self, device: Device, now: Instant) -> Data:
        return octet_string(device.store.state(self._context(device)).peer)

    def _write_client_title(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag != Tag.OCTET_STRING or len(data.value) != 8:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED, "a system title has 8 bytes")
        index = self._context(device)
        title = data.value
        # The answer is still for the client that asked.
        device.pending.append(lambda: device.store.set_peer(index, title))

    def _server_title(self, device: Device, now: Instant) -> Data:
        return octet_string(device.store.state(self._context(device)).title)

    def act_security_activate(self, device: Device, data: Data, now: Instant) -> None:
        """Strengthens the policy. Asking for the one in force is granted; for less, or for what suite 0 cannot do,
        refused."""
        if data.tag != Tag.ENUM:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a policy is wanted")
        wanted = int(data.value)
        if (wanted not in _V0_POLICIES) if self.version == 0 else (wanted & ~_V1_BITS):
            raise ActionRefused(ActionResult.OTHER_REASON, "no such security policy here")
        held = self.policy(device)
        if wanted & held != held:
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "a security policy is only ever strengthened")
        if wanted != held:
            self.remember(device, POLICY, enum(wanted))
            device.note("security.policy", self.client_sap, held, wanted)

    def act_key_transfer(self, device: Device, data: Data, now: Instant) -> None:
        """Takes an array of {enum key id, octet-string wrapped key}; all of it or nothing, unless the model is one that
        takes it item by item."""
        index = self._context(device)
        habits = self._habits
        if habits is not None:
            habits.arrives(self, device, index, now)
            if habits.item_by_item:
                self._take_items(device, index, data, now)
                return
        keys: dict[int, bytearray] = {}
        items = self._checked(data)
        try:
            for key_id, wrapped in items:
                keys[key_id] = self._unwrapped(device, index, wrapped)
        except ActionRefused:
            wipe(keys)
            raise
        self._accept(device, index, keys, now)

    def _take_items(self, device: Device, index: int, data: Data, now: Instant) -> None:
        """Every item up to the first bad one, which is what the refusal is about."""
        keys: dict[int, bytearray] = {}
        try:
            for item in _items(data):
                key_id, wrapped = self._item(item, keys)
                keys[key_id] = self._unwrapped(device, index, wrapped)
        except ActionRefused:
            if keys:
                device.note("keys.half-applied", self.client_sap, tuple(keys))
                self._accept(device, index, keys, now)
            raise
        self._accept(device, index, keys, now)

    def _unwrapped(self, device: Device, index: int, wrapped: bytes) -> bytearray:
        try:
            return device.store.unwrap(index, wrapped)
        except NoKeyError as error:
            device.note("keys.refused", self.client_sap, "no master key")
            raise ActionRefused(ActionResult.OBJECT_UNAVAILABLE, "no master key here") from error
        except CryptoError as wrong:
            device.note("keys.refused", self.client_sap, "wrong master key or changed bytes")
            raise ActionRefused(ActionResult.OTHER_REASON, "a key was not wrapped under the master key") from wrong

    def _accept(self, device: Device, index: int, keys: dict[int, bytearray], now: Instant) -> None:
        """Let these keys take effect once the answer was made."""
        habits = self._habits
        if habits is None:
            device.pending.extend(self._commitments(device, index, keys, now))
            return
        count = habits.accepts(device, tuple(keys), now)
        taken = keys if count is None else {key_id: keys.pop(key_id) for key_id in tuple(keys)[:count]}
        steps = habits.steps(self, device, index, taken, now) if taken else []
        device.pending.extend(self._commitments(device, index, taken, now) if steps is None else steps)
        if count is not None:
            wipe(keys)
            device.note("keys.half-applied", self.client_sap, tuple(taken))
            raise ActionRefused(ActionResult.OTHER_REASON, "not all of the keys were taken")

    def _checked(self, data: Data) -> list[tuple[int, bytes]]:
        found: dict[int, bytes] = {}
        for item in _items(data):
            key_id, wrapped = self._item(item, found)
            found[key_id] = wrapped
        return list(found.items())

    def _item(self, item: Data, found: Mapping[int, bytes | bytearray]) -> tuple[int, bytes]:
        """(key id, wrapped key) of an item; `found` are those before it."""
        if item.tag != Tag.STRUCTURE or [part.tag for part in item.value] != [Tag.ENUM, Tag.OCTET_STRING]:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a key is a structure of id and wrapped key")
        key_id, wrapped = item.value[0].value, item.value[1].value
        if key_id not in (EK, BROADCAST_KEY, AK, KEK) or key_id in found:
            raise ActionRefused(ActionResult.OTHER_REASON, f"key id {key_id} is unknown or comes twice")
        if key_id == KEK and not self._master_changes:
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "the master key is not changed over the air")
        if len(wrapped) != _WRAPPED_LENGTH:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "a wrapped key of suite 0 has 24 bytes")
        return key_id, wrapped

    def _commitments(
        self, device: Device, index: int, keys: dict[int, bytearray], now: Instant
    ) -> list[Callable[[], None]]:
        """One step a key, in the model's order (EK, broadcast, AK, KEK unless it has another); each is final by
        itself."""
        return [
            partial(self.commit, device, index, key_id, keys[key_id], now) for key_id in self._order if key_id in keys
        ]

    def commit(
        self, device: Device, index: int, key_id: int, key: bytearray, now: Instant, reset: bool | None = None
    ) -> None:
        """Take a key into use and wipe it; `reset` says otherwise than the model whether a new EK resets counters."""
        store = device.store
        if key_id == EK:
            store.install(index, ek=key, reset=self._reset_counters if reset is None else reset)
        elif key_id == AK:
            store.install(index, ak=key)
        elif key_id == BROADCAST_KEY:
            self.remember(device, _BROADCAST_WRAPPED, octet_string(store.wrap(index, key)))
        else:
            self.new_master(device, index, key)
        key[:] = bytes(len(key))
        device.note("keys.installed", self.client_sap, key_id)
        device.key_installed(self.client_sap, key_id, now)

    def new_master(self, device: Device, index: int, key: bytes | bytearray) -> None:
        """Replace the master key; the broadcast key is rewrapped under it."""
        kept = self.recall(device, _BROADCAST_WRAPPED)
        broadcast = None if kept is None else device.store.unwrap(index, kept.value)
        device.store.set_master(index, key)
        if broadcast is not None:
            self.remember(device, _BROADCAST_WRAPPED, octet_string(device.store.wrap(index, broadcast)))
            broadcast[:] = bytes(len(broadcast))

    def forget_broadcast(self, device: Device) -> None:
        """Lose the broadcast key."""
        self.remember(device, _BROADCAST_WRAPPED, None)


def _items(data: Data) -> Iterable[Data]:
    if data.tag != Tag.ARRAY or not data.value:
        raise ActionRefused(ActionResult.TYPE_UNMATCHED, "an array of keys is wanted")
    items: Iterable[Data] = data.value
    return items


def wipe(keys: dict[int, bytearray]) -> None:
    """Overwrite keys that are not taken."""
    for key in keys.values():
        key[:] = bytes(len(key))
