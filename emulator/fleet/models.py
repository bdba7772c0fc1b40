"""Which device models there are, for checking a recipe or a list before anything is built.

Only three things are asked of a model here: its name, its kind and how many auxiliary switches it has. The models that
come along say so in their profiles, which are quick to read; only a name that is not among them makes the registry
load every distribution's models.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from emulator.errors import InputError
from emulator.resources import fixture, list_fixtures

SWITCHES_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`kind` is hub, electricity, gas or ihd."""

    name: str
    kind: str
    switches: int


def find(name: str) -> KnownModel | None:
    """The model of that name, whoever ships it; None when nobody does."""
    return known().get(name) or _foreign().get(name)


@lru_cache(maxsize=1)
def _foreign() -> Mapping[str, KnownModel]:
    """What other distributions ship. How many switches such a model has is its own to say; any number passes here."""
    from emulator.fleet import registry

    try:
        models = registry.models()
    except InputError:
        return {}
    return {name: KnownModel(name, model.party.name.lower(), SWITCHES_MOST) for name, model in models.items()}


@lru_cache(maxsize=1)
def known() -> Mapping[str, KnownModel]:
    """The models that come along, by name. Raises InputError for a profile that cannot be read."""
    found = {}
    for name in list_fixtures("profiles", ".toml"):
        file = fixture(name)
        try:
            profile = tomllib.loads(file.read_text("utf-8"))
            model = KnownModel(profile["name"], profile["kind"], profile.get("auxiliary", {}).get("switches", 0))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{file}: not a device profile ({error!r}); mend or remove it") from error
        found[model.name] = model
    return found
