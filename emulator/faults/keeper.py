"""Faults of those who keep the keys (rows K1 to K7, and F9: two head ends).

The head end asks at `Point.KEEPER` whenever a keeper has a part in what it does; the occasion is a `Question`. What a
fault answers is what becomes of that keeper: it says nothing, refuses, loses what it had, or does not hear of a change.
The head end's own custody carries that out, so that the same tables decide what can still be made afterwards. ASSUMED:
how S1SP and DCO divide their work is not public; the cases are those of domain.md 6.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta

from emulator.faults.fault import Fault, Point

What: TypeAlias = Literal["tell", "acknowledge", "acknowledged", "promote", "promoted", "countersign", "rekey"]
"""A keeper is asked for its share, to write a candidate down, has just done so, is told that a candidate is proven, has
just been told, is asked to countersign; and: a step of a change has come at which another head end may cut in."""

Step: TypeAlias = Literal["before-transfer", "between-master-and-data", "after"]
KeysName: TypeAlias = Literal["data", "master"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a keeper ("smso", "s1sp", "dco"; "" for "rekey"). `keys`: of which hierarchy ("" for none);
    `service`: what is to be countersigned; `step`: of a change."""

    what: What
    keeper: str
    keys: str = ""
    service: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class KeeperAnswer:
    """What becomes of it. `silent`: nothing is heard. `refused`: why the DCO does not countersign. `forgets`: it loses
    what it was just told. `misses`: it does not hear of it. `restored`: its record is the one before its last change.
    `closed`: it has nothing to hand over any more. `keys`: of which hierarchy, or any."""

    silent: bool = False
    refused: str = ""
    forgets: bool = False
    misses: bool = False
    restored: bool = False
    closed: bool = False
    keys: str = "any"


_KEEPER: Final = frozenset({Point.KEEPER})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperFault(Fault):
    """Root of the faults of keepers."""

    points: ClassVar[frozenset[Point]] = _KEEPER

    def wants(self, point: Point, occasion: Any) -> bool:
        return isinstance(occasion, Question) and self.meets(occasion)

    def meets(self, question: Question) -> bool:
        """Whether it is about this question."""
        raise NotImplementedError

    def answer(self) -> KeeperAnswer:
        """What becomes of the keeper."""
        return KeeperAnswer()


@dataclass(frozen=True, slots=True, kw_only=True)
class DcoSilent(KeeperFault):
    """The DCO does not answer: no share, no acknowledgement, no countersignature. The head end waits in vain and then
    sends nothing."""

    name: ClassVar[str] = "dco-silent"
    row: ClassVar[str] = "K1"
    example: ClassVar[dict[str, Any]] = {"asked": "countersign", "seconds": 7200}

    asked: Annotated[Literal["anything", "tell", "acknowledge", "countersign"], Meta(description="what for")] = (
        "anything"
    )

    def meets(self, question: Question) -> bool:
        asked = ("tell", "acknowledge", "countersign") if self.asked == "anything" else (self.asked,)
        return question.keeper == "dco" and question.what in asked

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(silent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class S1spSilent(KeeperFault):
    """The S1SP's custody does not answer. It is who speaks to meters, so nothing at all is said to them."""

    name: ClassVar[str] = "s1sp-silent"
    row: ClassVar[str] = "K1"
    example: ClassVar[dict[str, Any]] = {"after_s": 3600, "seconds": 7200}

    def meets(self, question: Question) -> bool:
        return question.keeper == "s1sp" and question.what in ("tell", "acknowledge")

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(silent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DcoRefuses(KeeperFault):
    """The DCO does not countersign, and says why. `service`: only this one; any: all that need it."""

    name: ClassVar[str] = "dco-refuses"
    row: ClassVar[str] = "K2"
    example: ClassVar[dict[str, Any]] = {"reason": "rate", "service": "supply"}

    reason: Annotated[Literal["policy", "rate", "wrong-device"], Meta(description="what it says")] = "policy"
    service: Literal["any", "supply", "load-limit", "auxiliary", "keys"] = "any"

    def meets(self, question: Question) -> bool:
        return question.what == "countersign" and self.service in ("any", question.service)

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(refused=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forgets(KeeperFault):
    """A keeper loses a key it had. `keys`: of which hierarchy; `when`: as soon as it has acknowledged a candidate, or
    when it has been told that the candidate is proven."""

    keeper: ClassVar[str] = ""

    keys: Literal["any", "data", "master"] = "any"
    when: Literal["acknowledged", "promoted"] = "acknowledged"

    def meets(self, question: Question) -> bool:
        return question.keeper == self.keeper and question.what == self.when and self.keys in ("any", question.keys)

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(forgets=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DcoForgets(_Forgets):
    """The DCO loses its share of a key that it had acknowledged. What the S1SP keeps of it is worth nothing then."""

    name: ClassVar[str] = "dco-forgets"
    row: ClassVar[str] = "K3"
    example: ClassVar[dict[str, Any]] = {"keys": "master", "times": 1}
    keeper: ClassVar[str] = "dco"


@dataclass(frozen=True, slots=True, kw_only=True)
class S1spForgets(_Forgets):
    """The S1SP loses its share of a key. What the DCO keeps of it is worth nothing then."""

    name: ClassVar[str] = "s1sp-forgets"
    row: ClassVar[str] = "K4"
    example: ClassVar[dict[str, Any]] = {"keys": "data", "when": "promoted", "times": 1}
    keeper: ClassVar[str] = "s1sp"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperMissesChange(KeeperFault):
    """A keeper does not hear that a candidate is proven, and goes on believing in the key before it. It still has the
    candidate among those it gave up."""

    name: ClassVar[str] = "keeper-misses-change"
    row: ClassVar[str] = "K5"
    example: ClassVar[dict[str, Any]] = {"keeper": "dco", "times": 1}

    keeper: Literal["s1sp", "dco"] = "dco"
    keys: Literal["any", "data", "master"] = "any"

    def meets(self, question: Question) -> bool:
        return question.what == "promote" and question.keeper == self.keeper and self.keys in ("any", question.keys)

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(misses=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsoClosed(KeeperFault):
    """The old operator's record is no longer to be had. Who has not taken it over by then never will; who has keeps
    it."""

    name: ClassVar[str] = "smso-closed"
    row: ClassVar[str] = "K6"
    example: ClassVar[dict[str, Any]] = {"after_s": 86400}

    def meets(self, question: Question) -> bool:
        return question.what == "tell" and question.keeper == "smso"

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(closed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperRestoredFromBackup(KeeperFault):
    """A keeper's record is replaced by an older one when it is next asked for its share: the key it held live, and any
    candidate, are lost to it."""

    name: ClassVar[str] = "keeper-restored-from-backup"
    row: ClassVar[str] = "K7"
    example: ClassVar[dict[str, Any]] = {"keeper": "s1sp", "skip": 1, "times": 1}

    keeper: Literal["s1sp", "dco"] = "dco"
    keys: Literal["any", "data", "master"] = "any"

    def meets(self, question: Question) -> bool:
        return question.what == "tell" and question.keeper == self.keeper

    def answer(self) -> KeeperAnswer:
        return KeeperAnswer(restored=True, keys=self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalHeadEnd(KeeperFault):
    """Another head end changes the keys of the same device in the middle of a change of ours, over the same air.

    `step`: where it cuts in. `knows`: the keys it starts from, those handed over or those believed live. `changes`:
    which it changes. `honours_lock`: it leaves a device alone that somebody else is changing. `tells`: the keys it made
    are handed over afterwards; else they are lost with it."""

    name: ClassVar[str] = "rival-head-end"
    row: ClassVar[str] = "F9"
    example: ClassVar[dict[str, Any]] = {"step": "between-master-and-data", "changes": "data", "times": 1}

    step: Step = "before-transfer"
    knows: Literal["handed-over", "live"] = "handed-over"
    changes: Literal["data", "master", "both"] = "both"
    honours_lock: bool = False
    tells: bool = False

    def meets(self, question: Question) -> bool:
        return question.what == "rekey" and question.step == self.step


FAULTS: tuple[type[Fault], ...] = (
    RivalHeadEnd,
    DcoSilent,
    DcoRefuses,
    DcoForgets,
    S1spForgets,
    KeeperMissesChange,
    SmsoClosed,
    KeeperRestoredFromBackup,
    S1spSilent,
)
