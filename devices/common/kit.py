"""What all devices of one make share: the objects, the server's habits, and the few objects the machine itself uses.

Built once for a model (and, for an electricity meter, the switching table it was found with); a device points to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from devices.common.profile import Profile
from emulator.dlms.association import ClientProfile
from emulator.dlms.classes import AssociationLN, Clock, PushSetup, SecuritySetup
from emulator.dlms.cosem import CosemObject
from emulator.dlms.security import Reaction
from emulator.dlms.server import ServerProfile
from emulator.dlms.tree import ObjectTree

_REACTIONS: Final = {reaction.value: reaction for reaction in Reaction}


@dataclass(frozen=True, slots=True, eq=False)
class Kit:
    """`objects` are what a client sees; `serving` how the server behaves."""

    objects: ObjectTree
    serving: ServerProfile
    clock: Clock
    push: PushSetup


def assemble(profile: Profile, objects: Iterable[CosemObject], security: SecuritySetup | None = None) -> Kit:
    """A kit of these objects; without a `security` setup of its own among them, another's may be given."""
    tree = ObjectTree(objects)
    return Kit(tree, serving(profile, tree, security), _named(tree, "clock", Clock), _named(tree, "push", PushSetup))


def serving(profile: Profile, tree: ObjectTree, security: SecuritySetup | None = None) -> ServerProfile:
    """How a server of this profile behaves over these objects."""
    addressing, habits = profile.addressing, profile.security
    setup = security if security is not None else _named(tree, "security", SecuritySetup)
    return ServerProfile(
        _clients(tree, addressing.public, addressing.management, setup),
        addressing.management,
        profile.sizes.pdu,
        bad_counter=_REACTIONS[habits.bad_counter],
        bad_tag=_REACTIONS[habits.bad_tag],
    )


def _clients(tree: ObjectTree, public: int, management: int, setup: SecuritySetup) -> Mapping[int, ClientProfile]:
    return {
        public: ClientProfile(_named(tree, "association.public", AssociationLN)),
        management: ClientProfile(_named(tree, "association.management", AssociationLN), setup),
    }


_Object = TypeVar("_Object", bound=CosemObject)


def _named(tree: ObjectTree, name: str, kind: type[_Object]) -> _Object:
    found = tree.named(name)
    assert isinstance(found, kind)
    return found
