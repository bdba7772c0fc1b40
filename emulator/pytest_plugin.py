"""The pytest plugin: an emulated estate as a fixture, in virtual time.

    def test_boost(smets1_home):
        smets1_home.auxiliary(1).activate(minutes=30)

`smets1_world` is the estate, `smets1_home` one of its homes; `@pytest.mark.smets1(estate=..., seed=..., home=...)`
chooses which. `smets1_estate` makes further worlds. Nothing of the emulator is imported before a fixture is used, and a
failing test prints the seed and the command that repeats it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from emulator.scenario.playground import Home, Playground

_WORLDS: Final = pytest.StashKey[list[Any]]()
_MARKER: Final = "smets1"
_OPTIONS: Final = {"estate", "seed", "installations", "link", "home"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smets1", "emulated smart metering")
    group.addoption("--smets1-seed", type=int, default=None, help="seed of emulated estates without one of their own")
    group.addoption("--smets1-estate", default=None, help="estate of tests that name none [demo-street]")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "smets1(estate, seed, installations, link, home): which emulated estate a test runs against, and which home",
    )


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The test's marker, over the command line."""
    settings: dict[str, Any] = {}
    marker = request.node.get_closest_marker(_MARKER)
    if marker is not None:
        unknown = set(marker.kwargs) - _OPTIONS
        if marker.args or unknown:
            raise pytest.UsageError(
                f"@pytest.mark.smets1 takes {', '.join(sorted(_OPTIONS))} by name; "
                f"it was given {', '.join(map(repr, [*marker.args, *sorted(unknown)]))}"
            )
        settings.update(marker.kwargs)
    config = request.config
    if "seed" not in settings and config.getoption("--smets1-seed") is not None:
        settings["seed"] = config.getoption("--smets1-seed")
    settings.setdefault("estate", config.getoption("--smets1-estate") or "demo-street")
    return settings


@pytest.fixture
def smets1_estate(request: pytest.FixtureRequest) -> "Callable[..., Playground]":
    """Makes worlds: `smets1_estate("thousand", seed=7)`."""
    from emulator.scenario.playground import Playground

    worlds = request.node.stash.setdefault(_WORLDS, [])

    def make(estate: str = "demo-street", **options: Any) -> Playground:
        if options.get("seed") is None:
            options["seed"] = request.config.getoption("--smets1-seed")
        world = Playground(estate, **options)
        worlds.append(world)
        return world

    return make


@pytest.fixture
def smets1_world(
    request: pytest.FixtureRequest, smets1_estate: "Callable[..., Playground]"
) -> "Playground":
    """The estate of this test, fresh."""
    settings = _settings(request)
    settings.pop("home", None)
    return smets1_estate(settings.pop("estate"), **settings)


@pytest.fixture
def smets1_home(request: pytest.FixtureRequest, smets1_world: "Playground") -> "Home":
    """One home of the test's estate: the marker's `home`, else number 0."""
    return smets1_world.home(_settings(request).get("home", 0))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing test says which estate and seed it ran on, and how to run it again."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    worlds = item.stash.get(_WORLDS, [])
    if report.failed and worlds:
        lines = [
            f"estate {world.estate.name}, seed {world.seed}, link {world.link}, "
            f"virtual time {world.now:%Y-%m-%d %H:%M:%S}, digest {world.digest()}"
            for world in worlds
        ]
        lines.append(f"repeat: pytest '{item.nodeid}' --smets1-seed={worlds[0].seed}")
        report.sections.append(("smets1", "\n".join(lines)))
