"""Where fixtures are: profiles, estates, scenarios, vectors, golden files.

They are the repository's `fixtures/` folder. A wheel carries that folder as `emulator/fixtures/`; an editable install
cannot map it, so there the source tree is read. Everyone asks here, and nobody builds such a path.
"""

from functools import cache
from pathlib import Path
from typing import Final

from emulator.errors import InputError

_HERE: Final = Path(__file__).resolve().parent


@cache
def root() -> Path:
    """The folder that holds all fixtures. Raises InputError for an installation without them."""
    for place in (_HERE / "fixtures", _HERE.parent / "fixtures"):
        if (place / "profiles").is_dir():
            return place
    raise InputError("this installation has no fixtures; install the package again")


def fixture(name: str) -> Path:
    """The file or folder `name` ("profiles/elster_as300p.toml"). Raises InputError when there is none."""
    place = root()
    path = place.joinpath(*name.split("/"))
    if ".." in path.parts or not path.exists():
        raise InputError(f"there is no fixture {name!r} under {place}")
    return path


def list_fixtures(folder: str, suffix: str = "") -> list[str]:
    """Names of the files in `folder` that end in `suffix` (".toml"), sorted, each fit for `fixture`."""
    return sorted(f"{folder}/{path.name}" for path in fixture(folder).iterdir() if path.name.endswith(suffix))
