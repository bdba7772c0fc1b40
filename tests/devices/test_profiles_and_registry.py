"""Profiles are checked data; models are found by name, whoever ships them."""

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from devices.catalogue import MODELS, NAMES
from devices.common import profile as profiles
from emulator import resources
from emulator.errors import InputError
from emulator.fleet import registry

TEXT = resources.fixture("profiles/elster_as300p.toml").read_text("utf-8")


def test_every_shipped_profile_is_a_model_and_every_model_a_profile() -> None:
    """The folder of profiles and the catalogue name the same models."""
    files = [Path(name).stem for name in resources.list_fixtures("profiles", ".toml")]
    assert sorted(files) == sorted(NAMES) == sorted(MODELS)
    assert all(model.name == name for name, model in MODELS.items())


def test_what_is_not_stated_is_assumed() -> None:
    """A value names its public source where there is one, and says ASSUMED where there is none."""
    profile = profiles.shipped("elster_as300p")
    assert profile.source("security.policy") == "ASSUMED"
    assert "GBCS" in profile.source("supply.arm")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pdu = 1024", "pdu = 3", "sizes.pdu"),
        ("pdu = 1024", "pdus = 1024", "pdus"),
        ("policy = 3", 'policy = "all"', "security.policy"),
        ('kind = "electricity"', 'kind = "gas"', r"\[gas\]"),
        ('bad_counter = "exception"', 'bad_counter = "panic"', "bad_counter"),
        ("last_set = 2020-02-22T00:00:00Z", "last_set = 2020-02-22T00:00:00", "time zone"),
        ("first = 2013-06-01", "first = 2019-06-01", "birth.last is before"),
        ('"supply.arm" =', '"supply.arms" =', "supply.arms"),
        ('flag = "ELS"', 'flag = "els"', "flag"),
        ("[electricity]", "[electricity", "TOML"),
        ('alerts = "10.255.0.1:4061"', 'alerts = "home"', "alerts"),
    ],
)
def test_a_wrong_profile_is_one_clear_error(old: str, new: str, told: str) -> None:
    """Whatever is wrong, the error names the file and the field."""
    assert old in TEXT
    with pytest.raises(InputError, match=told) as caught:
        profiles.parse(TEXT.replace(old, new, 1), "my.toml")
    assert str(caught.value).startswith("my.toml: ")


def test_a_hub_cannot_attach_faster_than_at_once() -> None:
    """Limits that contradict each other are refused."""
    text = resources.fixture("profiles/elster_hub.toml").read_text("utf-8")
    with pytest.raises(InputError, match="attach_ms"):
        profiles.parse(text.replace("attach_ms_most = 5000", "attach_ms_most = 1"), "hub.toml")


def test_a_profile_that_is_not_there_or_misnamed_is_told(tmp_path: Path) -> None:
    """No such file, bytes that are no text, an unknown name: InputError each."""
    with pytest.raises(InputError, match="readable"):
        profiles.read(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="readable"):
        profiles.read(bad)
    with pytest.raises(InputError, match="nobody"):
        profiles.find("nobody")


# The registry


@pytest.fixture(autouse=True)
def _fresh() -> object:
    registry.models.cache_clear()
    yield
    registry.models.cache_clear()


def entry_points(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = [metadata.EntryPoint(f"x{number}", value, registry.GROUP) for number, value in enumerate(values)]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == registry.GROUP else [])


def test_models_are_found_with_and_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the entry point, and in a source tree that was never installed."""
    assert registry.model("elster_hub") is MODELS["elster_hub"]
    registry.models.cache_clear()
    entry_points(monkeypatch)
    assert set(registry.models()) == set(NAMES)


def test_an_unknown_model_names_those_there_are() -> None:
    """The error lists the models."""
    with pytest.raises(InputError, match="elster_as300p_5t"):
        registry.model("as302p")


def test_others_may_ship_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second distribution's models stand beside ours; the same name twice, a bad entry or a missing module is
    refused."""
    module = types.ModuleType("acme_meters")
    module.MODELS = {"acme_1": MODELS["elster_as300p"]}  # type: ignore[attr-defined]
    module.TWICE = {"elster_hub": MODELS["elster_hub"]}  # type: ignore[attr-defined]
    module.WRONG = 5  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_meters", module)
    own = "devices.catalogue:MODELS"
    entry_points(monkeypatch, own, "acme_meters:MODELS")
    assert set(registry.models()) == {*NAMES, "acme_1"}
    for value, told in (
        ("acme_meters:TWICE", "elster_hub"),
        ("acme_meters:WRONG", "no mapping"),
        ("acme_meters:MISSING", "MISSING"),
        ("no_such_meters:MODELS", "no_such_meters"),
    ):
        registry.models.cache_clear()
        entry_points(monkeypatch, own, value)
        with pytest.raises(InputError, match=told):
            registry.models()


def test_a_foreign_devices_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package `devices` of somebody else's in the way: the error says where it lies and what to do."""
    foreign = tmp_path / "devices"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    for name in [name for name in sys.modules if name == "devices" or name.startswith("devices.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    # An editable install finds our modules beside any package; a wheel, which this test speaks of, does not.
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "Editable" not in repr(each)])
    entry_points(monkeypatch)
    with pytest.raises(InputError, match="import-mode=importlib") as caught:
        registry.models()
    assert str(foreign) in str(caught.value)
