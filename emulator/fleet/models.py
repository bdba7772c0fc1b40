"""Which device models there are, for checking a recipe or a list before anything is built.

Only three things are asked of a model here: its name, its kind and how many auxiliary switches it has.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from emulator.errors import InputError
from emulator.resources import fixture, list_fixtures


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`kind` is hub, electricity, gas or ihd."""

    name: str
    kind: str
    switches: int


@lru_cache(maxsize=1)
def known() -> Mapping[str, KnownModel]:
    """Every model by name. Raises InputError for a profile that cannot be read."""
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
