"""An estate: all homes by number, what their devices truly hold, and what others believe of them.

Two kinds share this face: drawn from a recipe (`drawn`) or listed one by one in a file (`listing`). An estate keeps no
home: each is computed when asked for, so the object is small, the same in every process, and can be pickled into a
worker. Keys that nobody listed are derived from a secret that is a function of the estate's name and seed: test keys,
repeatable on purpose.

Cells are runs of consecutive numbers, as long as the recipe says; the number of workers has no say.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from emulator.crypto import derive
from emulator.errors import InputError, UsageError
from emulator.fleet import conditions, handover, identity, listing, recipe_reading
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.installation import KEYED, Condition, DeviceKeys, Installation, SmsoRecord
from emulator.fleet.recipe import Recipe
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import instant
from emulator.resources import fixture, list_fixtures

_NOT_ESTATES: Final = {"tariffs"}


class Homes(Protocol):
    """Where an estate's homes come from."""

    recipe: Recipe

    def installation(self, number: int) -> Installation: ...

    def is_active(self, number: int) -> bool: ...

    def keys(self, number: int, party: Party) -> DeviceKeys | None:
        """Keys the source spells out (their master key None: not in the record), or None."""
        ...

    def label(self, number: int) -> str: ...

    def find(self, label: str) -> int | None: ...

    def digest(self) -> bytes:
        """Stands for all that is spelled out beside the recipe; b"" for nothing."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Estate:
    """All homes of one estate. Nothing one asks changes an answer; picklable.

    `start` is day 0, midnight; `installations` how many homes, numbered from 0; `cells` how many cells.
    """

    def __init__(self, homes: Homes, seed: int) -> None:
        recipe = homes.recipe
        self._homes = homes
        self.recipe = recipe
        self.name = recipe.name
        self.title = recipe.title
        self.seed = seed
        self.start: Instant = instant(recipe.start)
        self.installations = recipe.installations
        self.active = recipe.active
        self.cells = -(-recipe.installations // recipe.cell)
        self._cell = recipe.cell
        self._secret = blake2b(f"estate|{recipe.name}|{seed}".encode(), digest_size=32).digest()
        self._numbers = identity.Numbers(seed, recipe.flag, bytes.fromhex(recipe.eui64_prefix))
        self._validation = handover.Validation(recipe, self.start)
        # The record and the devices of a home are asked for together, and share their keys: one home's are kept.
        self._kept: tuple[int, dict[Party, DeviceKeys]] = (-1, {})
        self._combinations = {each.name: each for each in recipe.combinations}

    # Who is where

    def cell_of(self, number: int) -> int:
        """The cell of home `number`."""
        return number // self._cell

    def members(self, cell: int) -> range:
        """The homes of a cell. Raises UsageError."""
        if not 0 <= cell < self.cells:
            raise UsageError(f"cell {cell} of {self.cells}")
        return range(cell * self._cell, min((cell + 1) * self._cell, self.installations))

    def label(self, number: int) -> str:
        """What its owner calls home `number`."""
        return self._homes.label(number)

    def find(self, label: str) -> int:
        """The number of the home called `label`. Raises InputError."""
        number = self._homes.find(label)
        if number is None or not 0 <= number < self.installations:
            raise InputError(
                f"estate {self.name} has no installation {label!r}; the last one is "
                f"{self.label(self.installations - 1)!r}"
            )
        return number

    def digest(self) -> str:
        """Stands for the recipe and the list: 32 hex digits, equal for estates that say the same of every home. What a
        recipe leaves at its default does not count, so that a later version with more settings agrees."""
        digest = blake2b(self.recipe.canonical(), digest_size=16)
        digest.update(self._homes.digest())
        return digest.hexdigest()

    # Truth

    def installation(self, number: int) -> Installation:
        """The truth about home `number`. Raises UsageError outside 0 .. installations - 1."""
        if not 0 <= number < self.installations:
            raise UsageError(f"installation {number} of {self.installations} in estate {self.name}")
        return self._homes.installation(number)

    def is_active(self, number: int) -> bool:
        """Is home `number` active? Cheaper than asking for the whole home."""
        return self._homes.is_active(number)

    def keys(self, installation: Installation, party: Party) -> DeviceKeys:
        """The keys truly in a device when the campaign begins; `kek` is never None. Raises UsageError for a display."""
        kept = self._kept
        if kept[0] != installation.number:
            kept = self._kept = (installation.number, {})
        keys = kept[1].get(party)
        if keys is None:
            keys = kept[1][party] = self._true_keys(installation.number, party)
        return keys

    def _true_keys(self, number: int, party: Party) -> DeviceKeys:
        if party not in KEYED:
            raise UsageError(f"device {party!r} has no keys")
        listed = self._homes.keys(number, party)
        if listed is not None and listed.kek:
            return listed
        ek, ak, kek = derive.keys(self._secret, 3, number, int(party))
        return DeviceKeys(ek, ak, kek) if listed is None else DeviceKeys(listed.ek, listed.ak, kek)

    def counters(self, installation: Installation, party: Party) -> tuple[int, int]:
        """(next to send, lowest acceptable) invocation counters in a device when the campaign begins."""
        return handover.counters(installation, party, self.seed)

    def outage(self, installation: Installation, begins: Instant) -> tuple[Instant, Instant] | None:
        """When its hub has no WAN at all: (from, until). `begins`: when its hub is first heard."""
        return conditions.outage(installation, self.seed, self.recipe.wan_loss, begins)

    # Belief

    def smso(self, installation: Installation) -> SmsoRecord:
        """What the old operator hands over for a home."""
        combination = self._combinations.get(installation.dmc)
        return handover.smso_record(
            installation,
            handover.believed_specs(installation, combination),
            {
                spec.kind: self._believed_keys(installation, spec.kind)
                for spec in installation.devices
                if spec.kind in KEYED
            },
            handover.believed_wiring(installation, self.recipe, self.seed),
            handover.believed_meter_points(installation, self._numbers, self._far(installation)),
            self.seed,
            self.start,
        )

    def inventory(self, installation: Installation) -> handover.InventoryRecord:
        """What the inventory and the registration data hold for a home."""
        return handover.inventory_record(installation, self._numbers, self._far(installation))

    def validate(self, installation: Installation, smso: SmsoRecord, now: Instant) -> Condition | None:
        """The first objection of the Common Validation at `now`, as an MF9 with its detail; None when there is none."""
        return self._validation.check(smso, self.inventory(installation), now)

    def silent(self, smso: SmsoRecord) -> bool:
        """Was a home out of contact for so long before the campaign that it cannot have been prepared?"""
        return self._validation.silent(smso)

    def _believed_keys(self, installation: Installation, party: Party) -> DeviceKeys:
        """The truth; without the master key (MF1); or EK and AK as they were before the last change (wrong key)."""
        truth = self.keys(installation, party)
        listed = self._homes.keys(installation.number, party)
        kek = None if listed is not None and listed.kek is None else truth.kek
        condition = installation.condition
        if condition is not None and condition.device is party:
            if condition.kind == "MF1":
                kek = None
            elif condition.detail == "wrong-key":
                key, number, at = derive.key, installation.number, int(party)
                return DeviceKeys(
                    key(self._secret, "former ek", number, at), key(self._secret, "former ak", number, at), kek
                )
        return truth if kek is truth.kek else DeviceKeys(truth.ek, truth.ak, kek)

    def _far(self, installation: Installation) -> int:
        """A home number outside every estate, for numbers that belong to nobody here."""
        return identity.HOMES_MOST + installation.number


def drawn(recipe: Recipe, seed: int | None = None, installations: int | None = None) -> Estate:
    """The estate of a checked recipe, under its own or another seed, at its own or another size. Raises InputError."""
    if installations is not None and installations != recipe.installations:
        recipe = recipe.scaled(installations)
    chosen = recipe.seed if seed is None else seed
    if not 0 <= chosen < 1 << 63:
        raise InputError(f"seed {chosen}; give a whole number from 0 to 2^63 - 1")
    return Estate(DrawnHomes(recipe, chosen), chosen)


def open_estate(source: str, seed: int | None = None, installations: int | None = None) -> Estate:
    """The estate of that name, or in that file (a TOML recipe or an imported list).

    `installations` takes that many homes: of a recipe the same mixture, of a list its first ones. Raises InputError.
    """
    file = locate(source)
    if not listing.is_listing(file):
        return drawn(recipe_reading.read(file), seed, installations)
    homes = listing.ListedHomes(file, installations)
    return Estate(homes, homes.recipe.seed if seed is None else seed)


def names() -> list[str]:
    """The estates that come with the project."""
    every = (name.removeprefix("estates/").removesuffix(".toml") for name in list_fixtures("estates", ".toml"))
    return [name for name in every if name not in _NOT_ESTATES]


def locate(source: str) -> Path:
    """The file of an estate named on a command line: a path if it looks like one, else a name. Raises InputError."""
    path = Path(source)
    if path.suffix or len(path.parts) != 1:
        if not path.is_file():
            raise InputError(f"{source}: no such file; name an estate file, or one of {', '.join(names())}")
        return path
    if source not in names():
        raise InputError(f"no estate is called {source!r}; name a file, or one of {', '.join(names())}")
    return fixture(f"estates/{source}.toml")
