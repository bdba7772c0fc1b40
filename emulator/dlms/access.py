"""Access rights: what each client may do with each object, decided once a model and looked up per request.

A `Rule` says which attributes of an object may be read, which written and which methods invoked. An `AccessTable`
gives a rule to every object: by (class, logical name), else by class, else the default. Association LN shows these
same tables in its object list, so what a meter says of its rights and what it does cannot differ.

The numbers are those of the object list (DLMS UA 1000-1 4.4.4, versions 0 to 2): attributes 0 none, 1 read, 2 write,
3 both, 4 to 6 the same for authenticated requests; methods 0 none, 1 access, 2 authenticated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from emulator.dlms.cosem import CosemObject

NO_ACCESS: Final = 0
READ: Final = 1
WRITE: Final = 2
READ_WRITE: Final = 3
AUTHENTICATED: Final = 3
"""Added to READ, WRITE and READ_WRITE for attributes that want an authenticated request."""

METHOD_NONE: Final = 0
METHOD_ACCESS: Final = 1
METHOD_AUTHENTICATED: Final = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """Rights to one object. None means all there are: every attribute, every attribute that takes writes, every method.
    `authenticated` asks for requests that carry an authentication tag."""

    read: frozenset[int] | None = None
    write: frozenset[int] | None = frozenset()
    act: frozenset[int] | None = frozenset()
    authenticated: bool = False


NOTHING: Final = Rule(frozenset(), frozenset(), frozenset())
READ_ONLY: Final = Rule()
EVERYTHING: Final = Rule(None, None, None)
EVERYTHING_AUTHENTICATED: Final = Rule(None, None, None, authenticated=True)


@dataclass(slots=True)
class AccessTable:
    """The rules of one client for the objects of one model."""

    default: Rule = NOTHING
    objects: Mapping[tuple[int, bytes], Rule] = field(default_factory=dict)
    classes: Mapping[int, Rule] = field(default_factory=dict)
    _modes: dict[tuple[int, bytes], tuple[bytes, dict[int, int]]] = field(default_factory=dict)

    def rule(self, item: CosemObject) -> Rule:
        """The rule for an object."""
        rule = self.objects.get((item.class_id, item.logical_name))
        if rule is None:
            rule = self.classes.get(item.class_id, self.default)
        return rule

    def modes(self, item: CosemObject) -> tuple[bytes, dict[int, int]]:
        """(mode of each attribute by number, 0 unused; mode of each method by id)."""
        key = (item.class_id, item.logical_name)
        found = self._modes.get(key)
        if found is None:
            found = self._modes[key] = self._made(item)
        return found

    def visible(self, item: CosemObject) -> bool:
        """Whether a client may do anything at all with an object."""
        attributes, methods = self.modes(item)
        return any(attributes) or any(methods.values())

    def _made(self, item: CosemObject) -> tuple[bytes, dict[int, int]]:
        rule = self.rule(item)
        attributes = bytearray(item.attribute_count + 1)
        for number in range(1, item.attribute_count + 1):
            mode = READ if rule.read is None or number in rule.read else NO_ACCESS
            if item.writable(number) and (rule.write is None or number in rule.write):
                mode |= WRITE
            attributes[number] = mode + AUTHENTICATED if mode and rule.authenticated else mode
        granted = METHOD_AUTHENTICATED if rule.authenticated else METHOD_ACCESS
        methods = {
            number: granted if rule.act is None or number in rule.act else METHOD_NONE for number in item.method_ids
        }
        return bytes(attributes), methods


def may_read(mode: int, authenticated: bool) -> bool:
    """Whether an attribute of this mode may be read by a request that is, or is not, authenticated."""
    return mode in (READ, READ_WRITE) or (authenticated and mode in (READ + AUTHENTICATED, READ_WRITE + AUTHENTICATED))


def may_write(mode: int, authenticated: bool) -> bool:
    return mode in (WRITE, READ_WRITE) or (
        authenticated and mode in (WRITE + AUTHENTICATED, READ_WRITE + AUTHENTICATED)
    )


def may_act(mode: int, authenticated: bool) -> bool:
    return mode == METHOD_ACCESS or (authenticated and mode == METHOD_AUTHENTICATED)
