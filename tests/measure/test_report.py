"""A whole report of small keys and few rounds: its shape, its nulls, and what is made of it."""

import json
from io import StringIO
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from emulator import files
from emulator.cli import group
from emulator.errors import InputError, NoKeyError, UsageError
from emulator.measure import crypto, from_python, natively, peers, plot, table
from emulator.measure.natively import RANDOM, Case
from emulator.measure.peers import Peers

ASKED = {
    "seal64_vs_openssl_rekey", "open64_vs_openssl_rekey", "seal64_vs_openssl35_rekey", "seal64_vs_ipsec_mb_prefetch",
    "mixed_vs_openssl_rekey", "wrap_vs_openssl", "python_buffers_vs_aesgcm", "python_lists_vs_aesgcm", "threads2_vs_1",
    "bytes_per_context",
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "KEYS", 300)
        patch.setattr(crypto, "MANY_KEYS", 900)
        patch.setattr(from_python, "SLOW_MESSAGES", 64)
        yield patch


@pytest.fixture(scope="module")
def report(small):
    """With the peers that are here."""
    return crypto.measure(quick=True, rounds=5)


@pytest.fixture(scope="module")
def lonely(small):
    """With no peer but `cryptography`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "find", lambda: Peers(None, None, None))
        return crypto.measure(quick=True, rounds=5)


@pytest.fixture(scope="module")
def compilerless(small, tmp_path_factory):
    """On a machine without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CC", raising=False)
        patch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
        return crypto.measure(quick=True, rounds=5)


def shown(report) -> str:
    out = StringIO()
    Console(file=out, width=table.LINE, force_terminal=False).print(table.Shown(report), highlight=False)
    return out.getvalue()


def test_the_figures_asked_for_are_there(report) -> None:
    """Ratios by name, and each engine's ns a message by regime, operation and size; all of it JSON."""
    assert set(report["ratios"]) >= ASKED
    assert report["ratios"]["bytes_per_context"] == 64
    assert json.loads(json.dumps(report)) == report
    for name in ("python buffers", "python lists", "cryptography AESGCM(key)"):
        assert report["engines"][name][RANDOM]["seal"]["64"] > 0
    if report["best"] != "native cryptography":
        assert set(report["engines"][report["best"]][RANDOM]["seal"]) >= {"16", "64", "mixed"}


def test_a_ratio_is_between_those_of_its_rounds(report) -> None:
    """The peer's time over ours: no smaller than its fastest over our slowest quartile would allow."""
    quartiles = report["quartiles"]
    theirs = quartiles["cryptography AESGCM(key)"][RANDOM]["seal"]["64"]
    ours = quartiles["python lists"][RANDOM]["seal"]["64"]
    assert theirs[0] / ours[1] / 2 < report["ratios"]["python_lists_vs_aesgcm"] < theirs[1] / ours[0] * 2


def test_an_absent_peer_is_null_and_a_word(lonely) -> None:
    """Never a number; the reason stands beside."""
    for name in ("openssl", "openssl35", "ipsec_mb", "ipsec_mb_prefetch"):
        assert lonely["engines"][name] is None
    for name, value in lonely["ratios"].items():
        if "openssl" in name or "ipsec" in name:
            assert value is None, name
    assert lonely["ratios"]["python_lists_vs_aesgcm"] > 0
    assert set(lonely["absent"]) >= {"openssl", "openssl35", "ipsec_mb"}
    text = shown(lonely)
    assert "openssl35: absent, no libcrypto of 3.5 or newer" in text
    assert "ipsec_mb absent" in text


def test_without_a_compiler_python_is_still_measured(compilerless) -> None:
    """All that is in C is null, and the report says why."""
    assert "no C compiler" in compilerless["absent"]["engines in C"]
    assert compilerless["ratios"]["seal64_vs_openssl_rekey"] is None
    assert compilerless["calibration"]["aesenc_ns"] is None
    assert compilerless["calibration"]["python_loop_ns"]["min"] > 0
    assert compilerless["ratios"]["python_buffers_vs_aesgcm"] > 0
    assert "aesenc absent" in shown(compilerless)
    assert "not measured here" in plot.draw(compilerless)


def test_table_and_picture_show_what_was_measured(report) -> None:
    """The calibration line, each figure of the best engine, each ratio; the picture is XML with as many bars."""
    text = shown(report)
    assert text.startswith(f"calibration: {report['calibration']['state']};")
    value = report["ratios"]["python_lists_vs_aesgcm"]
    assert f"{value:.2f} x" in text
    for figure in report["engines"]["python lists"][RANDOM]["seal"].values():
        assert f"{figure:,.0f}" in text
    picture = ElementTree.fromstring(plot.draw(report))
    words = "".join(picture.itertext())
    assert "python_lists_vs_aesgcm" in words
    assert "calibration:" in words
    measured = sum(report["ratios"][name] is not None for name in plot._RATIOS)
    assert len(picture.findall("{*}rect")) == 1 + measured


def test_quiet_rounds_are_those_with_fast_kernels() -> None:
    """By every kernel of ours; a case with too few of them has no quiet figure."""
    samples = crypto._Samples()
    us, peer = Case("us", RANDOM, "seal", "64"), Case("peer", RANDOM, "seal", "64")
    rounds = ((1, 1, 10, 50), (1.05, 1, 10, 60), (2, 1, 30, 60), (1, 1.5, 30, 60), (1, 1, 10, 70))
    for integer, aes, mine, theirs in rounds:
        samples._calibrations += 1
        samples.kernels.setdefault("integer_ns", []).append(integer)
        samples.kernels.setdefault("aesenc_ns", []).append(aes)
        samples.add({us: mine, peer: theirs})
    assert samples.quiet() == {0, 1, 4}
    assert samples.ratio(peer, us, samples.quiet()) == 6
    assert samples.ratio(peer, us, None) == 5
    assert samples.ratio(peer, us, {0, 1}) is None
    assert samples.ratio(peer, Case("nobody", RANDOM, "seal", "64"), None) is None


def test_one_reading_too_fast_does_not_make_the_others_contended() -> None:
    """A guest's clock may be set while a kernel runs."""
    samples = crypto._Samples()
    samples._calibrations = 40
    samples.kernels = {"integer_ns": [1.0] * 20 + [0.4] + [1.0] * 19, "aesenc_ns": [1.0] * 40}
    assert samples.quiet() == set(range(40))


def test_tiers_are_tried_and_put_back() -> None:
    """The one in use comes first and is in use again; names nobody knows are left out."""
    chosen = ["b"]

    def select(name: str) -> None:
        if name not in ("avx2", "b", "portable"):
            raise InputError("not here")
        chosen.append(name)

    assert natively.tiers(select, lambda: chosen[-1]) == ["b", "avx2", "portable"]
    assert chosen[-1] == "b"


def test_a_context_takes_its_line_and_its_master_key() -> None:
    """80 bytes and what pages round up to."""
    found = crypto.resident_per_context(200_000)
    if found is None:
        pytest.skip("this system does not say how much memory a process has")
    if crypto.backend() == "native":
        assert 60 < found < 110


def test_too_few_rounds_are_refused() -> None:
    """A pass without a round would leave holes."""
    with pytest.raises(UsageError):
        crypto.measure(rounds=2)


def test_the_check_before_python_is_timed_can_fail(small, monkeypatch) -> None:
    """A refused message is that refusal."""
    cases = from_python.PythonCases(50)
    cases.device.erase(7)
    monkeypatch.setattr(cases, "drawn", lambda: [7] * from_python.MESSAGES)
    with pytest.raises(NoKeyError):
        cases.check()
    cases.close()


def test_files_are_whole_or_not_there(tmp_path) -> None:
    """Replaced at once; what cannot be written is refused early, by name."""
    file = tmp_path / "a.json"
    files.check(file)
    files.replace_text(file, "old")
    files.replace_text(file, "new")
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    for wrong in (tmp_path, tmp_path / "no" / "a.json"):
        with pytest.raises(InputError):
            files.check(wrong)
        with pytest.raises(InputError):
            files.replace_text(wrong, "x")


def test_the_command_writes_what_it_shows(small, monkeypatch, tmp_path) -> None:
    """Table on stdout, JSON and SVG in files; a wrong name is refused before anything is measured."""
    figures, picture = tmp_path / "f.json", tmp_path / "p.svg"
    done = CliRunner().invoke(
        group, ["bench", "crypto", "--quick", "--rounds", "5", "--json", str(figures), "--plot", str(picture)]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(figures.read_text())
    assert f"{report['ratios']['python_lists_vs_aesgcm']:.2f} x" in done.output
    assert picture.read_text() == plot.draw(report)
    monkeypatch.setattr(crypto, "measure", lambda **_: pytest.fail("measured first"))
    done = CliRunner().invoke(group, ["bench", "crypto", "--json", str(tmp_path / "no" / "f.json")])
    assert isinstance(done.exception, InputError)
