"""What a violation is, which kinds there are, and the register that numbers them.

A violation is committed by whoever plays the head end: the user's own program at the end of a socket, or the
emulator's. It is not a fault (those are put in force by a person) and not a refusal (those are the device's answer, and
often the right one): it is something a careful client does not do even where the device lets it pass.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from emulator.errors import InputError
from emulator.kernel.effects import Instant

Severity: TypeAlias = Literal["grave", "serious", "minor"]
"""grave: keys or the supply are at risk; serious: a rule is broken and a device may refuse or harm somebody; minor:
careless."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of violation: what it means, where the rule stands, what to do about it."""

    severity: Severity
    about: str
    clause: str
    cure: str


KINDS: Final[dict[str, Kind]] = {
    "bad-counter": Kind(
        "serious",
        "an invocation counter that does not rise, comes again, or jumps further than the gap",
        "DLMS UA 1000-2 (Green Book) 9.2.3.3.7.3; the gap is ASSUMED",
        "keep one send counter for each key, in a store that survives a restart, and use each value once",
    ),
    "reused-nonce": Kind(
        "grave",
        "two different messages under one system title, one counter and one key",
        "DLMS UA 1000-2 (Green Book) 9.2.3.3.7.3; NIST SP 800-38D 8",
        "raise the counter for everything that is sealed, the reply to the challenge too, and change the key at once: "
        "under AES-GCM a repeated nonce gives both texts and the authentication key's mask away",
    ),
    "key-in-clear": Kind(
        "grave",
        "a key of the device, live, handed over or on its way, outside of encryption",
        "DLMS UA 1000-1 (Blue Book) 4.4.7, key_transfer; RFC 3394",
        "wrap keys under the master key and send them in ciphered messages only; change the key that was seen",
    ),
    "weak-protection": Kind(
        "serious",
        "a command sent with less protection than is wanted for it",
        "DLMS UA 1000-2 (Green Book) 9.2.7; that every such command is authenticated and encrypted is ASSUMED",
        "send it authenticated and encrypted (security control 30h)",
    ),
    "command-without-dual-control": Kind(
        "grave",
        "a supply-affecting command that the second party did not approve",
        "SEC Appendix AB, S1SP and DCO: anomaly detection and countersigning; its form here is ASSUMED",
        "have it approved first (`approve-command`), for this device and within its time",
    ),
    "heating-times-moved": Kind(
        "serious",
        "a write that moves the times at which auxiliary loads are switched",
        "SMETS1: auxiliary switches follow the tariff's switching times; DUIS 1.1.1, 6.14; the tolerance is ASSUMED",
        "write a table with the same switching times, or agree the new ones with whoever lives there",
    ),
    "two-head-ends": Kind(
        "grave",
        "keys transferred by another client while a change of keys is open",
        "OSGP PR 735 (a lock for each device); that a change is open until it is proven is ASSUMED",
        "let one head end change keys at a time: lock the device until the new keys are proven",
    ),
    "key-transfer-without-read-back": Kind(
        "serious",
        "keys were transferred and never proven by a message under them",
        "DLMS UA 1000-1 (Blue Book) 4.4.7: the answer still stands under the old keys; the time is ASSUMED",
        "read something under the new keys before the association is released, and keep the old ones until then",
    ),
}
"""Every kind, by name."""

KEPT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation. `at` in µs since 1970; `device` hub, electricity or gas; `where` says which client, frame, service
    and object; never a key."""

    number: int
    at: Instant
    installation: int
    device: str
    kind: str
    severity: Severity
    what: str
    where: str
    clause: str
    cure: str

    def told(self) -> str:
        """One line for people."""
        return (
            f"{self.kind} ({self.severity}), installation {self.installation} {self.device}: {self.what}; {self.where}"
        )


class Register:
    """Violations in the order they were found, numbered from 1; the last 10,000 are kept, all are counted."""

    def __init__(self) -> None:
        self._kept: list[Violation] = []
        self.counts: dict[str, int] = {}
        """By kind."""
        self.total = 0

    def add(self, at: Instant, installation: int, device: str, kind: str, what: str, where: str) -> Violation:
        """Write one down. `kind` is one of `KINDS`."""
        rule = KINDS[kind]
        self.total += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        found = Violation(
            self.total, at, installation, device, kind, rule.severity, what, where, rule.clause, rule.cure
        )
        self._kept.append(found)
        if len(self._kept) > KEPT_MOST:
            del self._kept[: KEPT_MOST // 10]
        return found

    def all(self, *, after: int = 0, kind: str | None = None, installation: int | None = None) -> list[Violation]:
        """Those kept, numbered above `after`, of a kind and of an installation; none of these: all."""
        return [
            each
            for each in self._kept
            if each.number > after and kind in (None, each.kind) and installation in (None, each.installation)
        ]

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._kept.clear()
        self.counts.clear()


def kinds(names: object) -> frozenset[str]:
    """The kinds that a person names: "all", one name, or several. Raises InputError for one there is not."""
    if names == "all":
        return frozenset(KINDS)
    wanted = [names] if isinstance(names, str) else list(names) if isinstance(names, list | tuple | set) else None
    if wanted is None or any(name not in KINDS for name in wanted):
        raise InputError(f"violations: {names!r} names no kind of violation; give 'all' or some of {', '.join(KINDS)}")
    return frozenset(wanted)
