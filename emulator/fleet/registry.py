"""Device models by name, from whoever ships them.

The emulator does not know the package `devices` by name: models come through the entry point group `smets1.devices`,
each entry a mapping of names to models, so anyone may add a distribution with more. In a source tree that was not
installed there are no entry points; then the tree's own `devices` is tried, and when another package of that name lies
in the way the error says which, and how to get it out of it.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from emulator.errors import InputError
from emulator.kernel.machine import Machine

if TYPE_CHECKING:
    from emulator.crypto.keys import ContextStore
    from emulator.fleet.installation import DeviceSpec, Installation
    from emulator.han.sleepy import Sleepy
    from emulator.kernel.machine import Party

GROUP: Final = "smets1.devices"
_OWN: Final = "devices.catalogue:MODELS"


class StoredMachine(Machine, Protocol):
    """A machine that can be put back into a row."""

    def snapshot(self) -> bytes:
        """Everything that deviates from the model; b"" when nothing does."""
        ...


class DeviceModel(Protocol):
    """What a distribution ships under a name."""

    @property
    def name(self) -> str: ...
    @property
    def party(self) -> "Party": ...
    @property
    def profile(self) -> Any:
        """The model as data, with at least `addressing` (`sap`, `management`, `public`), `gas` and `auxiliary`."""
        ...

    def create(
        self,
        installation: "Installation",
        spec: "DeviceSpec",
        *,
        store: "ContextStore",
        contexts: Mapping[int, int],
        seed: int,
        state: bytes | None = None,
    ) -> StoredMachine:
        """A device of this model in a home, as found or as `state` (what `snapshot` gave) says."""
        ...

    def sleepy(self, seed: int, installation: int) -> "Sleepy | None":
        """When such a device hears; None for one that always does."""
        ...


def _cure(path: str) -> str:
    return (
        f"the package `devices` at {path} is not the emulator's and lies in its way; install smets1-emulator "
        "(pip install smets1-emulator), or rename that package, or run pytest with --import-mode=importlib"
    )


def _load(value: str) -> Any:
    """The object an entry point names. Raises InputError."""
    module_name, _, attribute = value.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        package = _location(module_name.partition(".")[0])
        if value == _OWN and package is not None and error.name == module_name:
            raise InputError(_cure(package)) from error
        raise InputError(
            f"device models {value!r} cannot be imported ({error}); install the distribution that ships them again"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as missing:
        if value == _OWN:
            raise InputError(_cure(str(getattr(module, "__file__", None) or "an unknown place"))) from missing
        raise InputError(f"{module_name} has no {attribute!r}; its entry point under {GROUP} is wrong") from missing


def _location(package: str) -> str | None:
    """Where a top-level package that can be imported lies, or None."""
    try:
        found = import_module(package)
    except ModuleNotFoundError:
        return None
    place = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", [])), None)
    return str(Path(place).parent if place and str(place).endswith(".py") else place)


@cache
def models() -> Mapping[str, DeviceModel]:
    """All models there are. Raises InputError: a distribution's models cannot be imported, or two share a name."""
    found: dict[str, DeviceModel] = {}
    shipped_by: dict[str, str] = {}
    values = sorted({entry.value for entry in metadata.entry_points(group=GROUP)})
    for value in values or [_OWN]:
        loaded = _load(value)
        if not isinstance(loaded, Mapping):
            raise InputError(f"{value} under {GROUP} is no mapping of names to device models; see devices/catalogue.py")
        for name, model in loaded.items():
            if name in found:
                raise InputError(
                    f"device model {name!r} comes from {shipped_by[name]} and from {value}; remove one of them"
                )
            found[name] = model
            shipped_by[name] = value
    return found


def model(name: str) -> DeviceModel:
    """A model by name. Raises InputError naming those there are."""
    try:
        return models()[name]
    except KeyError:
        raise InputError(f"no device model {name!r}; there are {', '.join(sorted(models()))}") from None
