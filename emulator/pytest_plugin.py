"""The pytest plugin: an emulated estate as a fixture, in virtual time or served on sockets.

    def test_boost(smets1_home):
        smets1_home.auxiliary(1).activate(minutes=30)

`smets1_world` is the estate, `smets1_home` one of its homes; `@pytest.mark.smets1(estate=..., seed=..., home=...)`
chooses which. `smets1_estate` makes further worlds. With `mode="live"` (or `--smets1-mode live`) the same body runs
against an estate that `smets1 serve` serves in a process of its own, on free ports; with `mode="both"` it runs twice.

`smets1_live` is that served estate, for clients of one's own: `.address(home)`, `.port`, `.hdlc_port`, `.http`,
`.token`, `.keys(home)`, `.reset()`. It is fresh for each test; with `shared=True` it is the session's
(`smets1_live_session`), put back before the test, which saves the start of a process. Workers of pytest-xdist each have
their own.

`@pytest.mark.smets1_fault("gprs-loss", chance=0.1)` puts a fault in force in the test's world before the test begins,
in either mode; several may be given, `smets1 faults` lists them. A fault that was asked for, by marker or by
`world.inject`, and never struck fails the test, unless `may_stay_quiet=True` says that it may.

`world.violations` lists what a head end did wrong, whatever the devices made of it (counters, nonces, keys in clear,
commands nobody approved, ...); `@pytest.mark.smets1(violations="fail")` fails a test that commits one.

`smets1_scenario("master-key-lost", seed=3)` runs a scenario, one that ships or a file, and gives its report: `.passed`,
`.failures`, `.verdicts`, `.digest`.

Nothing of the emulator is imported before a fixture is used, and a failing test prints the seed and the command that
repeats it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

if TYPE_CHECKING:
    from emulator.scenario.playground import Home, Playground
    from emulator.scenario.report import Report
    from emulator.served.process import ServedEstate
    from emulator.served.world import ServedHome, ServedWorld

    World: TypeAlias = Playground | ServedWorld

_WORLDS: Final = pytest.StashKey[list[Any]]()
_RUNS: Final = pytest.StashKey[list[Any]]()
_MARKER: Final = "smets1"
_FAULT: Final = "smets1_fault"
_STRUCK: Final = ("smets1_world", "smets1_home", "smets1_live")
"""The fixtures that the fault marker is about."""
_MODES: Final = ("virtual", "live", "both")
_OF_BOTH: Final = ("estate", "seed", "installations", "link")
_OF_LIVE: Final = ("timing", "speed", "arguments")
_OPTIONS: Final = {*_OF_BOTH, *_OF_LIVE, "home", "mode", "shared", "violations"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smets1", "emulated smart metering")
    group.addoption("--smets1-seed", type=int, default=None, help="seed of emulated estates without one of their own")
    group.addoption("--smets1-estate", default=None, help="estate of tests that name none [demo-street]")
    group.addoption(
        "--smets1-mode",
        choices=_MODES,
        default=None,
        help="how tests that do not say so meet their estate: in virtual time, served live, or both [virtual]",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "smets1(estate, seed, installations, link, home, mode, shared, violations, timing, speed, arguments): which "
        "emulated estate a test runs against, which home, and whether in virtual time (mode='virtual'), served on "
        "sockets ('live') or 'both'; shared=True takes the session's served estate; violations='fail' fails the test "
        "when a violation of any kind is committed, a list when one of its kinds is; timing, speed and arguments are "
        "those of "
        "`smets1 serve`",
    )
    config.addinivalue_line(
        "markers",
        "smets1_fault(name, *, may_stay_quiet=False, **settings): put a fault in force in the test's emulated estate, "
        "as `smets1 faults` lists it; the test fails when it never strikes, unless it may stay quiet",
    )


def _marked(item: Any) -> dict[str, Any]:
    """What the marker of a test says."""
    marker = item.get_closest_marker(_MARKER)
    if marker is None:
        return {}
    unknown = set(marker.kwargs) - _OPTIONS
    if marker.args or unknown:
        raise pytest.UsageError(
            f"@pytest.mark.smets1 takes {', '.join(sorted(_OPTIONS))} by name; "
            f"it was given {', '.join(map(repr, [*marker.args, *sorted(unknown)]))}"
        )
    if marker.kwargs.get("mode", "virtual") not in _MODES:
        raise pytest.UsageError(
            f"@pytest.mark.smets1(mode={marker.kwargs['mode']!r}): there are {', '.join(map(repr, _MODES))}"
        )
    return dict(marker.kwargs)


def _violations(item: Any) -> list[Any]:
    """What was done wrong in a test's worlds, as far as its marker says that this fails it."""
    wanted = _marked(item).get("violations")
    if wanted is None:
        return []
    from emulator.errors import InputError
    from emulator.watch.violation import kinds

    try:
        named = kinds("all" if wanted == "fail" else wanted)
    except InputError as error:
        raise pytest.UsageError(f"@pytest.mark.smets1(violations={wanted!r}): say 'fail', or kinds; {error}") from None
    worlds = [getattr(world, "world", world) for world in item.stash.get(_WORLDS, [])]
    return [each for world in worlds for each in world.violations if each.kind in named]


def _faults(item: Any) -> list[tuple[str, dict[str, Any]]]:
    """The faults that a test's markers ask for, a class's first, then from top to bottom."""
    found = []
    for marker in reversed(list(item.iter_markers(_FAULT))):
        if len(marker.args) != 1 or not isinstance(marker.args[0], str):
            raise pytest.UsageError(
                "@pytest.mark.smets1_fault takes a fault's name, and its settings by name: "
                f'smets1_fault("gprs-loss", chance=0.1); it was given {", ".join(map(repr, marker.args)) or "no name"}'
            )
        found.append((marker.args[0], dict(marker.kwargs)))
    return found


def _inject(request: pytest.FixtureRequest, world: "World") -> None:
    """Put in force what the markers say."""
    from emulator.errors import InputError

    for name, settings in _faults(request.node):
        try:
            world.inject(name, **settings)
        except InputError as error:
            raise pytest.UsageError(f"@pytest.mark.smets1_fault({name!r}): {error}") from None


def _default(config: pytest.Config, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings, with the command line's where they say nothing."""
    if settings.get("seed") is None and config.getoption("--smets1-seed") is not None:
        settings["seed"] = config.getoption("--smets1-seed")
    settings.setdefault("estate", config.getoption("--smets1-estate") or "demo-street")
    return settings


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The test's marker, over the command line."""
    return _default(request.config, _marked(request.node))


def _mode(config: pytest.Config, marked: dict[str, Any], fixtures: Any) -> str:
    """The marker's mode, else live for who asks for a served estate, else the command line's."""
    if "mode" in marked:
        return str(marked["mode"])
    if "smets1_live" in fixtures or "smets1_live_session" in fixtures:
        return "live"
    return str(config.getoption("--smets1-mode") or "virtual")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of both modes is two tests."""
    if "smets1_mode" not in metafunc.fixturenames:
        return
    try:
        mode = _mode(metafunc.config, _marked(metafunc.definition), metafunc.fixturenames)
    except pytest.UsageError:
        return  # the fixture says it, and says whose it is
    if mode == "both":
        metafunc.parametrize("smets1_mode", ["virtual", "live"])


@pytest.fixture
def smets1_mode(request: pytest.FixtureRequest) -> str:
    """How this test meets its estate: "virtual" or "live"."""
    return _mode(request.config, _marked(request.node), request.fixturenames)


@pytest.fixture
def smets1_estate(request: pytest.FixtureRequest) -> "Callable[..., Playground]":
    """Makes worlds in virtual time: `smets1_estate("thousand", seed=7)`."""
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
def smets1_scenario(
    request: pytest.FixtureRequest, smets1_mode: str, tmp_path_factory: pytest.TempPathFactory
) -> "Callable[..., Report]":
    """Runs scenarios: `smets1_scenario("clean", seed=7).passed`. A name, a file, TOML or plain data; what else is named
    is laid over it (`estate={"installations": 12}`). With mode "live" on an estate that is served for it."""
    from emulator.scenario import reading, virtual

    runs = request.node.stash.setdefault(_RUNS, [])

    def run(source: Any, *, seed: int | None = None, workers: int = 1, **overrides: Any) -> "Report":
        if seed is None:
            seed = request.config.getoption("--smets1-seed")
        read = reading.opened(source, overrides)
        if smets1_mode == "live":
            from emulator.served.scenario import run_live

            report = run_live(read, seed, folder=tmp_path_factory.mktemp("smets1-scenario"))
        else:
            report = virtual.run(read, seed, workers=workers)
        runs.append(report)
        return report

    return run


@pytest.fixture
def smets1_world(request: pytest.FixtureRequest, smets1_mode: str) -> "World":
    """The estate of this test, fresh: in virtual time, or as handles on the one that is served."""
    if smets1_mode == "live":
        served: ServedEstate = request.getfixturevalue("smets1_live")
        return served.world
    settings = _settings(request)
    make: Callable[..., Playground] = request.getfixturevalue("smets1_estate")
    world = make(settings["estate"], **{name: settings[name] for name in _OF_BOTH[1:] if name in settings})
    _inject(request, world)
    return world


@pytest.fixture
def smets1_home(request: pytest.FixtureRequest, smets1_world: "World") -> "Home | ServedHome":
    """One home of the test's estate: the marker's `home`, else number 0."""
    return smets1_world.home(_settings(request).get("home", 0))


class _Pool:
    """The session's served estates, one for each way they are asked for; ended together."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._served: dict[str, ServedEstate] = {}

    def start(self, settings: dict[str, Any]) -> "ServedEstate":
        """A new one; whoever asks ends it."""
        from emulator.served.process import ServedEstate

        wanted = {name: settings[name] for name in (*_OF_BOTH, *_OF_LIVE) if name in settings}
        wanted["arguments"] = tuple(wanted.get("arguments", ()))
        return ServedEstate(self._folders.mktemp("smets1-live"), **wanted)

    def share(self, settings: dict[str, Any]) -> "ServedEstate":
        """The session's, as far as it still runs."""
        name = repr(sorted((name, value) for name, value in settings.items() if name in (*_OF_BOTH, *_OF_LIVE)))
        found = self._served.get(name)
        if found is None or not found.alive:
            if found is not None:
                found.stop()
            found = self._served[name] = self.start(settings)
        return found

    def stop(self) -> None:
        for each in self._served.values():
            each.stop()


@pytest.fixture(scope="session")
def _smets1_pool(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[_Pool]":
    pool = _Pool(tmp_path_factory)
    yield pool
    pool.stop()


@pytest.fixture(scope="session")
def smets1_live_session(request: pytest.FixtureRequest, _smets1_pool: _Pool) -> "ServedEstate":
    """The session's served estate, as the command line names it. It is put back only by who calls its `reset`."""
    return _smets1_pool.share(_default(request.config, {}))


@pytest.fixture
def smets1_live(request: pytest.FixtureRequest, _smets1_pool: _Pool) -> "Iterator[ServedEstate]":
    """A served estate for this test: a fresh one, or with the marker's `shared=True` the session's, put back."""
    settings = _settings(request)
    shared = settings.get("shared", "smets1_live_session" in request.fixturenames)
    if shared:
        served = _smets1_pool.share(settings)
        served.reset()
    else:
        served = _smets1_pool.start(settings)
    request.node.stash.setdefault(_WORLDS, []).append(served)
    try:
        _inject(request, served.world)
        yield served
    finally:
        if not shared:
            served.stop()


def _told(world: Any) -> str:
    """A world in a report's words."""
    if hasattr(world, "told"):
        return str(world.told())
    return (
        f"estate {world.estate.name}, seed {world.seed}, link {world.link}, "
        f"virtual time {world.now:%Y-%m-%d %H:%M:%S}, digest {world.digest()}"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that passed fails when a fault that was asked for never struck: it has not tested what it says."""
    if _faults(item) and not set(getattr(item, "fixturenames", ())) & set(_STRUCK):
        raise pytest.UsageError(f"@pytest.mark.smets1_fault is about {', '.join(_STRUCK)}; the test asks for none")
    yield
    quiet = [each for world in item.stash.get(_WORLDS, []) for each in getattr(world, "world", world).quiet_faults]
    if quiet:
        told = "\n".join(f"  {each!r}" for each in quiet)
        pytest.fail(
            f"asked for and never fired:\n{told}\n(let it meet what it strikes, or say may_stay_quiet=True)",
            pytrace=False,
        )
    wrong = _violations(item)
    if wrong:
        told = "\n".join(f"  {each.told()}\n    {each.clause}; {each.cure}" for each in wrong)
        pytest.fail(f"{len(wrong)} violations were committed:\n{told}", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing test says which estate and seed it ran on, and how to run it again."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    worlds = [*item.stash.get(_WORLDS, []), *item.stash.get(_RUNS, [])]
    if report.failed and worlds:
        lines = [_told(world) for world in worlds]
        again = [f"repeat: pytest '{item.nodeid}' --smets1-seed={worlds[0].seed}"]
        again += [
            f"{option}={value}"
            for option in ("--smets1-estate", "--smets1-mode")
            if (value := item.config.getoption(option)) is not None
        ]
        lines.append(" ".join(again))
        report.sections.append(("smets1", "\n".join(lines)))
