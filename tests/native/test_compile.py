"""The compiled engine: what is listed can be compiled, what changed is noticed, and digests stay what they are."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "native" / "compile.py"

spec = importlib.util.spec_from_file_location("native_compile", SCRIPT)
assert spec is not None
assert spec.loader is not None
compile_script = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = compile_script  # a dataclass asks for its module
spec.loader.exec_module(compile_script)


def trees() -> dict[str, ast.Module]:
    """The listed modules, parsed."""
    found = {}
    for module in compile_script.modules():
        found[module] = ast.parse((ROOT / compile_script.source(module)).read_text("utf-8"))
    return found


def calm_copy(folder: Path) -> Path:
    """A small tree of the same make."""
    for name in ("emulator", "devices", "fixtures", "native"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / compile_script.LIST, folder / "native")
    (folder / "emulator" / "one.py").write_text("ONE = 1\n")
    return folder


def test_the_list_names_modules_that_are_there_once_and_in_order() -> None:
    """A module that moved is moved in the list too."""
    listed = compile_script.modules()
    assert len(listed) > 80
    assert list(listed) == sorted(set(listed))
    for module in listed:
        assert (ROOT / compile_script.source(module)).is_file(), module


def test_what_is_left_out_has_a_reason() -> None:
    """It is there, hot enough that somebody would ask, and not in the list as well."""
    document = tomllib.loads((ROOT / compile_script.LIST).read_text("utf-8"))
    for module, reason in document["left-out"].items():
        assert (ROOT / compile_script.source(module)).is_file(), module
        assert module not in compile_script.modules()
        assert len(reason) > 10


def test_no_exception_name_has_two_types_in_one_function() -> None:
    """mypyc gives a name one type in a function: a second `except ... as error` of another type fails at run time."""
    for module, tree in trees().items():
        for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
            types: dict[str, str] = {}
            for each in ast.walk(function):
                if isinstance(each, ast.ExceptHandler) and each.name and each.type:
                    caught = ast.unparse(each.type)
                    assert types.setdefault(each.name, caught) == caught, f"{module}:{each.lineno}: {each.name}"


def test_no_generator_yields_between_an_exception_and_its_going_on() -> None:
    """Across a yield a compiled generator forgets what it is handling: a bare `raise` after one raises nothing at all,
    and so does the end of a `finally` with one in it. `raise error`, by its name, is safe."""
    for module, tree in trees().items():
        for each in ast.walk(tree):
            if isinstance(each, ast.ExceptHandler):
                yields = [at.lineno for at in ast.walk(each) if isinstance(at, ast.Yield | ast.YieldFrom)]
                bare = [at.lineno for at in ast.walk(each) if isinstance(at, ast.Raise) and at.exc is None]
                assert not yields or all(at < min(yields) for at in bare), f"{module}: {bare}"
            elif isinstance(each, ast.Try):
                for at in (inner for statement in each.finalbody for inner in ast.walk(statement)):
                    assert not isinstance(at, ast.Yield | ast.YieldFrom), f"{module}:{at.lineno}"


def test_no_class_stands_on_what_mypyc_cannot_compile() -> None:
    """Protocols asked at run time, and Structs whose defaults are made by `field`."""
    for module, tree in trees().items():
        for found in (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
            asked = {ast.unparse(each) for each in found.decorator_list}
            assert "runtime_checkable" not in asked, f"{module}: {found.name}"
            if any("Struct" in ast.unparse(base) for base in found.bases):
                made = [ast.unparse(each) for each in found.body if isinstance(each, ast.AnnAssign)]
                assert not any("= field(" in each for each in made), f"{module}: {found.name}"


def test_what_classes_say_to_mypyc_is_whole() -> None:
    """What pickles runs its __init__ for interpreted callers only where one may derive from it (mypyc 2.4); and of a
    dataclass left to the interpreter mypyc keeps plain annotations alone, which settings are read by."""
    for module, tree in trees().items():
        for found in (each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
            said = "".join(ast.unparse(each) for each in found.decorator_list)
            if "serializable=True" in said:
                assert "allow_interpreted_subclasses=True" in said, f"{module}: {found.name}"
            if "native_class=False" in said and "dataclass" in said:
                types = [ast.unparse(each.annotation) for each in found.body if isinstance(each, ast.AnnAssign)]
                assert all(each.isidentifier() for each in types), f"{module}: {found.name}"


def test_the_stamp_notices_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source, a new file, the list, the versions; and nothing that Python leaves lying about."""
    tree = calm_copy(tmp_path)
    seen = {before := compile_script.stamp(tree)}
    (tree / "emulator" / "__pycache__").mkdir()
    (tree / "emulator" / "__pycache__" / "one.pyc").write_bytes(b"1")
    assert compile_script.stamp(tree) == before
    (tree / "emulator" / "one.py").write_text("ONE = 2\n")
    seen.add(compile_script.stamp(tree))
    (tree / "fixtures" / "two.toml").write_text("two = 2\n")
    seen.add(compile_script.stamp(tree))
    (tree / compile_script.LIST).write_text("modules = []\n")
    seen.add(compile_script.stamp(tree))
    monkeypatch.setattr(compile_script.metadata, "version", lambda _: "0.1")
    seen.add(compile_script.stamp(tree))
    assert len(seen) == 5


def test_fresh_is_what_carries_the_stamp_of_now(tmp_path: Path) -> None:
    """Nothing there is not fresh, and neither is what was made of other sources."""
    tree, target = calm_copy(tmp_path), tmp_path / "made"
    assert not compile_script.is_fresh(tree, target)
    target.mkdir()
    (target / "stamp").write_text(compile_script.stamp(tree))
    assert compile_script.is_fresh(tree, target)
    (tree / "emulator" / "one.py").write_text("ONE = 2\n")
    assert not compile_script.is_fresh(tree, target)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CC", "no-such-compiler -pthread", "no-such-compiler is not here; install gcc"),
        ("CC", "false", "false failed: exit code 1"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(name, value, told, tmp_path, monkeypatch, capsys) -> None:
    """And what to do; the engine that was there stays."""
    tree, target = calm_copy(tmp_path), tmp_path / "made"
    (tree / "native" / "compiled.toml").write_text('modules = ["emulator.one"]\n')
    for each in ("src", "include"):
        (tree / "native" / each).symlink_to(ROOT / "native" / each)
    (tree / "native" / "_native.c").symlink_to(ROOT / "native" / "_native.c")
    target.mkdir()
    (target / "stamp").write_text("of yesterday")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(compile_script, "is_fresh", lambda: False)
    monkeypatch.setattr(compile_script, "build", lambda build=compile_script.build: build(tree, target))
    assert compile_script.main([]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert (target / "stamp").read_text() == "of yesterday"
    assert not list(tmp_path.glob("made-*"))


def test_without_mypy_one_line_says_what_to_install(monkeypatch, capsys) -> None:
    """Of the package's own extra."""

    def missing(_: str) -> str:
        raise compile_script.metadata.PackageNotFoundError

    monkeypatch.setattr(compile_script.metadata, "version", missing)
    assert compile_script.main([]) == 1
    assert capsys.readouterr().err == "compile.py: mypy is not here; install it with: pip install '.[compile]'\n"


def migrated(path: Path, *words: str) -> dict[str, object]:
    """What `smets1 migrate` says on the engine in `path`."""
    program = "import sys; from emulator.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "migrate", "--json", *words],
        cwd=path.parent, env={**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_compiled_engine_gives_the_same_digests() -> None:
    """Built where it is not fresh; one worker and two, every kind of home, faults on the way."""
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    compiled = compile_script.TARGET
    for words in (
        ("--estate", "thousand", "--workers", "1"),
        ("--estate", "thousand", "--workers", "1", "--link", "mpls"),
        ("--estate", "mds-cohort", "--installations", "4200", "--workers", "2"),
        ("--installations", "300", "--workers", "1", "--fault", "gprs-loss chance=0.05"),
    ):
        one, other = migrated(ROOT, *words), migrated(compiled, *words)
        assert one["digest"] == other["digest"], words
        assert one["link_digest"] == other["link_digest"], words
