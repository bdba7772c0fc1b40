"""One logical device, talked to by a script: requests with patience, repeats, and answers as plain values.

A `Session` turns the sans-IO DLMS client into generator methods: `value = yield from session.get(CLOCK)`. Reads are
repeated when no answer comes, each time as a new request under a new invocation counter. What changes something is
never repeated here: whether it took effect is a question for whoever asked (`headend/rotation.py` for keys).

Ends are exceptions of two kinds: `NoAnswerError` (nobody knows what happened) and `RefusedError` (the device, or our
own check of its answer, said no, and why). An answer that our own check turns away leaves the question open, as the
true one may still come (it was a late answer to an earlier request, say). When it does not, a read is repeated as
after silence, and in the end the refusal is what is reported, for it says more than silence.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias, TypeVar

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef
from emulator.dlms.client import Answer, Client, More
from emulator.errors import CounterExhaustedError, EmulatorError
from emulator.fleet.installation import COUNTER_MAX, DeviceKeys
from emulator.headend.conversation import Ask, Heard, Request

T = TypeVar("T")
Steps: TypeAlias = Generator[Ask, Heard, T]
"""A part of a script that comes to a value."""

READ_TRIES: Final = 3
"""How often a request that changes nothing is made before nobody is believed to be there. ASSUMED."""

DISBELIEVED: Final = frozenset({"tag", "counter", "title", "unprotected", "malformed", "unexpected"})
"""Refusals of ours, not the device's: the question stays open."""


class NoAnswerError(EmulatorError):
    """Patience ran out: the request, or its answer, was lost."""


class HubSilentError(NoAnswerError):
    """The hub never called back: nothing was asked of any device."""


class RefusedError(EmulatorError):
    """A refusal: `reason` and `detail` as in `dlms.client.Refused`."""

    def __init__(self, reason: str, detail: int | str | None = None) -> None:
        super().__init__(f"refused: {reason} ({detail})")
        self.reason = reason
        self.detail = detail


class Session:
    """A client and its patience. `server_sap` is the logical device; `challenge` makes fresh challenges.

    `first_patience_us` is how long the first answer may take (a sleepy device has to come to its next poll), and any
    answer after a silence; `patience_us` the ones that follow.
    """

    __slots__ = (
        "_challenge",
        "_first_patience_us",
        "_heard",
        "_patience_us",
        "client",
        "client_sap",
        "countersign",
        "keys",
        "server_sap",
    )

    def __init__(
        self,
        client: Client,
        client_sap: int,
        server_sap: int,
        *,
        patience_us: int,
        first_patience_us: int,
        challenge: Callable[[], bytes] | None = None,
    ) -> None:
        self.client = client
        self.client_sap = client_sap
        self.server_sap = server_sap
        self._patience_us = patience_us
        self._first_patience_us = first_patience_us
        self._challenge = challenge
        self._heard = False
        self.keys: DeviceKeys | None = None
        """The pair it talks under, once it was told."""
        self.countersign: Callable[[MethodRef | AttributeRef], Steps[None]] | None = None
        """Who must agree before something is changed: raises RefusedError when he does not."""

    def beside(self, client: Client, challenge: Callable[[], bytes] | None = None) -> "Session":
        """Another client's session with the same device, as patient as this one; nobody countersigns for it."""
        return Session(
            client,
            self.client_sap,
            self.server_sap,
            patience_us=self._patience_us,
            first_patience_us=self._first_patience_us,
            challenge=challenge,
        )

    # Keys and counters

    def use(self, keys: DeviceKeys) -> None:
        """Talk under these keys from now on. Counters go on rising."""
        store, context = self._context()
        store.install(context, ek=keys.ek, ak=keys.ak)
        self.keys = keys

    def begin_with(self, keys: DeviceKeys) -> int:
        """Talk under keys the device may just have taken. Nothing was accepted under them yet, and there are devices
        that begin to count anew with new keys, so every counter of theirs is welcome. Gives what `back_to` needs."""
        store, context = self._context()
        _, lowest = store.counters(context)
        self.use(keys)
        store.set_counters(context, rx=0)
        return int(lowest)

    def back_to(self, keys: DeviceKeys, lowest: int) -> None:
        """Talk under the keys from before `begin_with` again; no answer is taken twice."""
        store, context = self._context()
        self.use(keys)
        store.set_counters(context, rx=lowest)

    def raise_counter(self, lowest: int) -> bool:
        """Send from `lowest` on, or from where we are if that is higher. False: there is no counter left."""
        store, context = self._context()
        tx, _ = store.counters(context)
        tx = max(tx, lowest)
        if tx >= COUNTER_MAX:
            return False
        store.set_counters(context, tx=tx)
        return True

    @property
    def next_counter(self) -> int:
        """The invocation counter of the next message."""
        store, context = self._context()
        return int(store.counters(context)[0])

    def restart_counter(self, first: int) -> None:
        """Send from `first` on, though that be lower: only when nothing was sent yet under the EK in use. Raises
        UsageError otherwise, for no counter may come twice under one."""
        store, context = self._context()
        store.set_counters(context, tx=first)

    def _context(self) -> tuple[Any, int]:
        client = self.client
        assert client.store is not None, "a public session has no keys"
        assert client.context is not None
        return client.store, client.context

    # Requests

    def open(self) -> Steps[None]:
        """Associate; with HLS all four passes."""
        challenge = self._challenge

        def request() -> bytes:
            return self.client.associate(challenge() if challenge is not None else b"")

        yield from self._repeat(request)

    def get(self, reference: AttributeRef) -> Steps[Data]:
        """Read an attribute."""
        value: Data = yield from self._repeat(lambda: self.client.get(reference))
        return value

    def get_list(self, references: tuple[AttributeRef, ...]) -> Steps[list[Data]]:
        """Read several attributes in one request. Raises RefusedError for the first that is not given."""
        results = yield from self._repeat(lambda: self.client.get_list(references))
        for result in results:
            if not isinstance(result, Data):
                raise RefusedError("access", int(result))
        return list(results)

    def set(self, reference: AttributeRef, data: Data) -> Steps[None]:
        """Write an attribute. Writing the same value twice is harmless, so it is repeated like a read. What affects a
        supply is countersigned first."""
        if self.countersign is not None:
            yield from self.countersign(reference)
        yield from self._repeat(lambda: self.client.set(reference, data))

    def action(self, method: MethodRef, data: Data | None = None) -> Steps[Data | None]:
        """Invoke a method, once; countersigned first where it affects a supply."""
        if self.countersign is not None:
            yield from self.countersign(method)
        value: Data | None = yield from self._ask(lambda: self.client.action(method, data))
        return value

    def close(self) -> Steps[None]:
        """Release the association. A device that does not answer has forgotten it, or will."""
        try:
            yield from self._ask(self.client.release)
        except (NoAnswerError, RefusedError):
            self.client.associated = False
        self._heard = False  # whoever comes back may find the device asleep

    def lost(self) -> None:
        """The association is gone: the device started anew, or somebody rested so long that it may be asleep again."""
        self.client.associated = False
        self._heard = False

    def _repeat(self, request: Callable[[], bytes]) -> Steps[Any]:
        for left in reversed(range(READ_TRIES)):
            try:
                value = yield from self._ask(request)
            except NoAnswerError:
                if not left:
                    raise
            except RefusedError as error:
                if not left or error.reason not in DISBELIEVED:
                    raise
            else:
                return value
        raise AssertionError("the last try returns or raises")

    def _ask(self, request: Callable[[], bytes]) -> Steps[Any]:
        """One request to its end, through blocks and passes."""
        client_sap, server_sap, client = self.client_sap, self.server_sap, self.client
        try:
            apdu = request()
        except CounterExhaustedError as error:
            raise RefusedError("counter", COUNTER_MAX) from error
        disbelieved: RefusedError | None = None
        while True:
            patience_us = self._patience_us if self._heard else self._first_patience_us
            heard = yield Request(client_sap, server_sap, apdu, patience_us)
            if heard is None:
                self._heard = False
                raise disbelieved or NoAnswerError(f"no answer from logical device {server_sap}")
            self._heard = True
            outcome = client.receive(heard)  # type: ignore[arg-type]
            if type(outcome) is Answer:
                return outcome.value
            if type(outcome) is More:
                apdu = outcome.apdu
                continue
            reason, detail = outcome.reason, outcome.detail  # type: ignore[union-attr]
            if reason not in DISBELIEVED:
                # Made where it is raised: a name for it here would be a circle through its traceback.
                raise RefusedError(reason, detail)
            disbelieved, apdu = RefusedError(reason, detail), b""
