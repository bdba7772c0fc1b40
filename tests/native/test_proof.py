"""The quick forms of native/prove.py's proofs, over the core that is installed; the command itself."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def command() -> ModuleType:
    """native/prove.py as a module."""
    spec = importlib.util.spec_from_file_location("native_prove", ROOT / "native" / "prove.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prove = command()
catalogue, core, workshop = (sys.modules[f"proof.{name}"] for name in ("catalogue", "core", "workshop"))
QUICK = catalogue.choose(None, True)
REQUIRED = os.environ.get("SMETS1_REQUIRE_NATIVE", "") not in ("", "0")


@pytest.mark.parametrize("name", QUICK)
def test_quickly(name, tmp_path) -> None:
    """Each proof that needs no compiler, in its short form."""
    try:
        setting = prove.Setting(workshop.Workshop(tmp_path), quick=True, given=core.installed())
        counts = catalogue.PROOFS[name](setting)
    except workshop.Missing as missing:
        if REQUIRED:
            raise
        pytest.skip(str(missing))
    assert all(count > 0 for count in counts.values()), counts


@pytest.mark.slow
@pytest.mark.parametrize("name", list(catalogue.PROOFS))
def test_wholly(name, tmp_path, capsys) -> None:
    """Each proof as the command runs it, over the sources as they stand; fuzzers for a few seconds."""
    assert prove.main(["--only", name, "--seconds", "5"]) == 0
    said = capsys.readouterr().out
    if "left out" in said:
        pytest.skip(said)
    assert "holds" in said


def test_a_name_that_is_no_proof_is_refused(capsys) -> None:
    """By name, with those there are."""
    with pytest.raises(SystemExit):
        prove.main(["--only", "luck"])
    assert "no proof is called 'luck'; there are nist" in capsys.readouterr().err


def test_a_proof_that_does_not_hold_is_an_exit_status(monkeypatch, capsys) -> None:
    """And the others are run all the same; a missing tool is a word, or a failure where it is required."""

    def fails(_: object) -> dict[str, int]:
        raise workshop.Failed("lane 3 is out")

    def missing(_: object) -> dict[str, int]:
        raise workshop.Missing("no valgrind here")

    proofs = {"first": fails, "second": missing}
    monkeypatch.setattr(prove, "PROOFS", proofs)
    monkeypatch.setattr(prove, "choose", lambda only, quick: ["first", "second"])
    monkeypatch.delenv("SMETS1_REQUIRE_NATIVE", raising=False)
    assert prove.main([]) == 1
    said = capsys.readouterr().out
    assert "FAILS    lane 3 is out" in said
    assert "left out    no valgrind here" in said
    proofs["first"] = lambda _: {"cases": 1}
    assert prove.main([]) == 0
    monkeypatch.setenv("SMETS1_REQUIRE_NATIVE", "1")
    assert prove.main([]) == 1
