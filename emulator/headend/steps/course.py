"""What the steps of a service are given, and the two ways in which a step may not have done what it was for.

A service's steps are a script part over one open session. They address real objects of a model, so what differs between
models comes from the profile and nowhere else. Every request of a step is counted: an error is told with the position
of the step that met it, as the decoded SMETS1 answers do (MMC: SMETS1Debug, response code and position; FACT).

No step believes an acknowledgement. What changes something is followed by reading it back (`done`), and so is a change
whose answer was lost: whether it took effect is asked, never assumed, and no method is invoked twice.

A device that says nothing, or no longer knows our association, may have lost its mains in between. Once in a course it
is given time to come back and the association is opened anew; what can be asked again without harm (reading, and
writing the same value) is asked again then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import DATA, Data
from emulator.codecs.get import AttributeRef
from emulator.headend.conversation import Rest
from emulator.headend.keyring import Target
from emulator.headend.session import DISBELIEVED, NoAnswerError, RefusedError, Steps
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

Payload: TypeAlias = dict[str, Any]
"""What a service answers, as plain values: numbers, texts, lists and dicts of them."""

NOT_OFFERED: Final = "not-offered"
"""Reason of a refusal by the steps: the model has no such object, or not in this number or range."""
NOT_EFFECTED: Final = "not-effected"
"""Reason of a refusal by the steps: the device said yes, and what was read back says otherwise."""

BACK_AFTER_S: Final = 90
"""How long a device that may have lost its mains is given to come back. ASSUMED."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Nothing:
    """A body without fields."""


class Course:
    """One run of a service's steps: `target` is the device, `profile` its model's, `members` the EUI-64 of the home's
    devices by the papers, `now` tells the instant."""

    __slots__ = ("_now", "_reopened", "members", "position", "profile", "target")

    def __init__(
        self, target: Target, profile: Any, members: Mapping[Party, bytes], now: Callable[[], Instant]
    ) -> None:
        self.target = target
        self.profile = profile
        self.members = members
        self._now = now
        self._reopened = False
        self.position = 0
        """How many requests were begun: the place of the one that failed, counted from 1."""

    @property
    def now(self) -> Instant:
        """The head end's own time, µs since 1970."""
        return self._now()

    def get(self, reference: AttributeRef) -> Steps[Data]:
        """Read an attribute. Raises NoAnswerError, RefusedError."""
        self.position += 1
        data: Data = yield from self._surely(lambda: self.target.session.get(reference))
        return data

    def get_list(self, references: tuple[AttributeRef, ...]) -> Steps[list[Data]]:
        """Read several attributes in one request. Raises NoAnswerError, RefusedError."""
        self.position += 1
        found: list[Data] = yield from self._surely(lambda: self.target.session.get_list(references))
        return found

    def set(self, reference: AttributeRef, data: Data) -> Steps[None]:
        """Write an attribute. Raises NoAnswerError, RefusedError."""
        self.position += 1
        yield from self._surely(lambda: self.target.session.set(reference, data))

    def _surely(self, request: Callable[[], Steps[T]]) -> Steps[T]:
        """Make a request that may be made twice; again, when the device seems to have gone and come back."""
        try:
            return (yield from request())
        except (NoAnswerError, RefusedError) as error:
            if self._reopened or (isinstance(error, RefusedError) and error.reason != "exception"):
                raise
        self._reopened = True
        yield Rest(self.now + BACK_AFTER_S * SECOND)
        session = self.target.session
        session.lost()
        yield from session.open()
        return (yield from request())

    def action(self, method: MethodRef, data: Data | None = None) -> Steps[Data | None]:
        """Invoke a method, once. Raises NoAnswerError, RefusedError."""
        self.position += 1
        answer: Data | None = yield from self.target.session.action(method, data)
        return answer

    def tried(self, method: MethodRef, data: Data | None = None) -> Steps[NoAnswerError | RefusedError | None]:
        """Invoke a method whose effect is looked at afterwards: what to say if it is not there. A refusal by the
        device itself is raised."""
        try:
            yield from self.action(method, data)
        except NoAnswerError as error:
            return error
        except RefusedError as error:
            if error.reason not in DISBELIEVED:
                raise
            return error
        return None

    def done(
        self, method: MethodRef, data: Data | None, see: AttributeRef, wanted: Callable[[Data], bool], what: str
    ) -> Steps[Data]:
        """Invoke a method and see that it did what it is for; what was read back.

        Raises RefusedError: `NOT_EFFECTED` when the device acknowledged and stands otherwise; what befell the answer
        when there was none and the effect is missing too."""
        doubt = yield from self.tried(method, data)
        found = yield from self.get(see)
        if not wanted(found):
            if doubt is not None:
                raise doubt
            raise RefusedError(NOT_EFFECTED, what)
        return found

    def written(self, reference: AttributeRef, data: Data, what: str) -> Steps[None]:
        """Write an attribute and see that it stands. Raises NoAnswerError, RefusedError."""
        yield from self.set(reference, data)
        found = yield from self.get(reference)
        if not same(found, data):
            raise RefusedError(NOT_EFFECTED, what)


def same(one: Data, other: Data) -> bool:
    """Whether two data are the same on the wire."""
    return bytes(DATA.build(one)) == bytes(DATA.build(other))


def not_offered(what: str) -> RefusedError:
    """The refusal for something the model does not have."""
    return RefusedError(NOT_OFFERED, what)
