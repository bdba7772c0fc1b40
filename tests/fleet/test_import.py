"""Importing a user's list: what is sound comes back whole, what is not is told by line, and nothing is half written."""

import csv
import pickle
import stat
from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import InputError
from emulator.fleet import estate as estates
from emulator.fleet import exporter, importer, listing, models, registry
from emulator.fleet.estate import Estate
from emulator.fleet.identity import mpan_check_digit
from emulator.fleet.installation import KEYED
from emulator.fleet.table_reading import MistakesError
from emulator.kernel.machine import Party

Row = dict[str, str]


@cache
def street() -> Estate:
    return estates.open_estate("demo-street")


@cache
def csv_text(keys: bool = True) -> str:
    return exporter.to_csv(street(), range(street().installations), keys)


def rows() -> list[Row]:
    return list(csv.DictReader(StringIO(csv_text())))


def write(file: Path, content: list[Row]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(importer.COLUMNS))
        writer.writeheader()
        writer.writerows(content)
    return file


def imported(file: Path, out: Path) -> Estate:
    result = importer.read(file, "mine")
    listing.write(out, result.recipe, result.lines, len(result.lines))
    return estates.open_estate(str(out))


def told(file: Path, most: int = 100) -> list[str]:
    with pytest.raises(MistakesError) as caught:
        importer.read(file, "mine", most=most)
    return [str(each) for each in caught.value.mistakes]


def test_a_list_comes_back_whole(tmp_path: Path) -> None:
    """Every home of the street, through CSV and the estate file: the same devices, wiring, condition, keys."""
    file = tmp_path / "street.csv"
    file.write_text(csv_text(), "utf-8")
    estate = imported(file, tmp_path / "street.jsonl")
    assert estate.installations == street().installations
    assert estate.active == street().active
    for number in range(estate.installations):
        ours, theirs = street().installation(number), estate.installation(number)
        assert estate.label(number) == str(number)
        assert estate.find(str(number)) == number
        assert theirs.condition == ours.condition
        assert (theirs.mpan, theirs.mprn, theirs.wiring, theirs.supplier, theirs.region, theirs.active) == (
            ours.mpan, ours.mprn, ours.wiring, ours.supplier, ours.region, ours.active
        )  # fmt: skip
        behind = ours.condition.device if ours.condition and ours.condition.detail == "firmware" else None
        for a, b in zip(theirs.devices, ours.devices, strict=True):
            assert (a.kind, a.model, a.serial, a.system_title, a.eui64) == (
                b.kind, b.model, b.serial, b.system_title, b.eui64
            )  # fmt: skip
            assert (a.firmware == b.firmware) == (a.kind is not behind)
            if a.kind in KEYED:
                mine, other = estate.keys(theirs, a.kind), street().keys(ours, a.kind)
                assert (mine.ek, mine.ak) == (other.ek, other.ak)
                assert mine.kek == other.kek or (ours.condition is not None and ours.condition.kind == "MF1")


def test_an_imported_condition_is_found_by_validation(tmp_path: Path) -> None:
    """The imported street behaves as the drawn one: the same homes are refused on paper, and for the same reason."""
    file = tmp_path / "street.csv"
    file.write_text(csv_text(), "utf-8")
    estate = imported(file, tmp_path / "street.jsonl")
    for number in range(estate.installations):
        home = estate.installation(number)
        refused = estate.validate(home, estate.smso(home), estate.start)
        expected = home.condition if home.condition is not None and home.condition.kind == "MF9" else None
        assert refused == expected


def test_a_device_without_a_master_key_is_mf1(tmp_path: Path) -> None:
    """EK and AK without a KEK: the device has one, the record has none."""
    content = rows()[:1]
    content[0]["gas_kek"] = ""
    estate = imported(write(tmp_path / "a.csv", content), tmp_path / "a.jsonl")
    home = estate.installation(0)
    record = estate.smso(home)
    assert home.condition is not None
    assert (home.condition.kind, home.condition.device) == ("MF1", KEYED[2])
    assert [each.keys.kek is None for each in record.devices if each.keys] == [False, False, True]
    assert estate.keys(home, KEYED[2]).kek is not None


def test_without_keys_they_are_derived(tmp_path: Path) -> None:
    """A list without key columns gets keys that differ from home to home and return on every opening."""
    content = [{name: value for name, value in row.items() if name[-3:] not in ("_ek", "_ak", "kek")} for row in rows()]
    file = tmp_path / "a.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(content[0]))
        writer.writeheader()
        writer.writerows(content)
    estate = imported(file, tmp_path / "a.jsonl")
    again = estates.open_estate(str(tmp_path / "a.jsonl"))
    keys = [estate.keys(estate.installation(number), KEYED[0]) for number in range(estate.installations)]
    assert len({each.ek for each in keys}) == len(keys)
    assert keys[3] == again.keys(again.installation(3), KEYED[0])


def test_the_estate_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It may hold keys: mode 0600, and nothing is left lying beside it."""
    file = write(tmp_path / "a.csv", rows())
    imported(file, tmp_path / "a.jsonl")
    assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl"]


def test_a_listed_estate_travels_to_a_worker(tmp_path: Path) -> None:
    """Pickled and unpickled it is the same estate; cut to its first homes it keeps them."""
    estate = imported(write(tmp_path / "a.csv", rows()), tmp_path / "a.jsonl")
    copy = pickle.loads(pickle.dumps(estate))
    assert [copy.installation(number) for number in range(16)] == [estate.installation(number) for number in range(16)]
    few = estates.open_estate(str(tmp_path / "a.jsonl"), installations=4)
    assert few.installations == 4
    assert few.installation(3) == estate.installation(3)
    with pytest.raises(InputError, match="the list has 16"):
        estates.open_estate(str(tmp_path / "a.jsonl"), installations=17)


def _set(column: str, value: str) -> Callable[[Row], None]:
    return lambda row: row.update({column: value})


@pytest.mark.parametrize(
    ("bend", "column", "cure"),
    [
        (_set("installation", ""), "installation", "1 to 64 characters"),
        (_set("supplier", ""), "supplier", "missing"),
        (_set("supplier", "=HYPERLINK(1)"), "supplier", "formula"),
        (_set("supplier", "@SUM(A1)"), "supplier", "formula"),
        (_set("supplier", "Alder\nEnergy"), "supplier", "line break"),
        (_set("supplier", "Al\x1b[31mder"), "supplier", "control character"),
        (_set("supplier", "Ald\u202eer"), "supplier", "control character"),
        (_set("supplier", "x" * 201), "supplier", "at most 200"),
        (_set("active", "perhaps"), "active", "yes or no"),
        (_set("mpan", "111609658543"), "mpan", "give 13 digits"),
        (_set("mpan", "1.1161E+12"), "mpan", "make the column text"),
        (_set("mpan", "1116096585430"), "mpan", "check digit should be 8"),
        (_set("mprn", "1955858508"), "mprn", "check digits should be 07"),
        (_set("mprn", ""), "mprn", "has a gas meter"),
        (_set("region", "mars"), "region", "one of eastern"),
        (_set("hub_model", "elster_bub"), "hub_model", "did you mean elster_hub"),
        (_set("hub_model", "elster_as300p"), "hub_model", "no hub model"),
        (_set("hub_model", ""), "hub_model", "missing"),
        (_set("electricity_serial", "E 1"), "electricity_serial", "letters, digits"),
        (_set("electricity_system_title", "454c53"), "electricity_system_title", "16 hexadecimal digits"),
        (_set("electricity_system_title", "zz4c530bf20479de"), "electricity_system_title", "16 hexadecimal"),
        (_set("electricity_system_title", ""), "electricity_system_title", "missing"),
        (_set("gas_eui64", "0a-53-51"), "gas_eui64", "16 hexadecimal"),
        (_set("gas_firmware", ""), "gas_firmware", "missing"),
        (_set("hub_ek", "12"), "hub_ek", "32 hexadecimal"),
        (_set("hub_ek", "x" * 32), "hub_ek", "32 hexadecimal"),
        (_set("hub_ak", ""), "hub_ak", "both EK and AK"),
        (lambda row: row.update(hub_ek="", hub_ak=""), "hub_ek", "a KEK is given"),
        (_set("switches", "6"), "switches", "0 to 5"),
        (_set("switches", "1"), "switches", "elster_as300p has 0"),
        (_set("tariff", "economy7"), "switches", "a tariff is given"),
        (lambda row: row.update(switches="1", tariff="single-rate"), "tariff", "no table that switches"),
        (_set("condition", "MF7:sleepy"), "condition", "one of MF1"),
        (_set("condition", "MF10:counter"), "condition", "of which device"),
        (_set("condition", "MF10:configuration"), "condition", "needs auxiliary switches"),
    ],
)
def test_a_bad_cell_is_told_by_line_and_column(
    tmp_path: Path, bend: Callable[[Row], None], column: str, cure: str
) -> None:
    """The mistake is named where it stands, with its cure; the sound rows around it are not blamed."""
    content = rows()[:1] + rows()[4:6]
    bend(content[0])
    mistakes = told(write(tmp_path / "a.csv", content))
    assert all(each.startswith("line 2, ") for each in mistakes)
    assert any(each.startswith(f"line 2, {column}: ") and cure in each for each in mistakes), mistakes


def test_keys_never_show_in_a_message(tmp_path: Path) -> None:
    """A key with a digit too many is refused without being repeated."""
    content = rows()[:1]
    secret = content[0]["hub_ek"]
    content[0]["hub_ek"] = secret + "0"
    assert secret not in "".join(told(write(tmp_path / "a.csv", content)))


@pytest.mark.parametrize("column", ["installation", "mpan", "mprn", "hub_serial", "gas_system_title", "ihd_eui64"])
def test_duplicates_are_told_with_both_lines(tmp_path: Path, column: str) -> None:
    """What must be unique and comes twice is told at the second place, naming the first."""
    content = [rows()[0], rows()[4], rows()[2]]
    content[2][column] = content[0][column]
    assert told(write(tmp_path / "a.csv", content)) == [
        f"line 4, {column}: {content[0][column].replace('-', '')!r} stands in line 2 already; each is used once"
    ]


def test_two_devices_of_one_home_may_not_share_a_title(tmp_path: Path) -> None:
    """A duplicate within one line is one too: the title is half of every nonce."""
    content = rows()[:1]
    content[0]["gas_system_title"] = content[0]["hub_system_title"]
    assert "stands in line 2 already" in told(write(tmp_path / "a.csv", content))[0]


def test_a_combination_is_listed_or_not(tmp_path: Path) -> None:
    """Two homes of one combination cannot differ in whether it is on the EPCL."""
    content = [rows()[0], rows()[5]]
    content[0]["condition"], content[1]["condition"] = "MF9:not-on-epcl", ""
    assert "line 3 has the same combination" in told(write(tmp_path / "a.csv", content))[0]


def test_there_is_a_limit_to_what_is_shown(tmp_path: Path) -> None:
    """All mistakes are counted, the first ones told."""
    content = rows()
    for row in content:
        row["active"] = "?"
    file = write(tmp_path / "a.csv", content)
    with pytest.raises(MistakesError, match="16 mistakes") as caught:
        importer.read(file, "mine", most=3)
    assert "and 13 more" in str(caught.value)
    assert len(caught.value.mistakes) == 3


def test_structure_is_told_by_line(tmp_path: Path) -> None:
    """A row too long or too short, and a quote that never closes."""
    lines = csv_text().splitlines()
    file = tmp_path / "a.csv"
    file.write_text("\n".join([lines[0], lines[1] + ",extra", "1,2,3", "", lines[5], 'x,"open']))
    assert [each.split(":")[0] for each in told(file)] == ["line 2", "line 3", "line 6"]


def test_columns_are_checked_before_rows(tmp_path: Path) -> None:
    """Missing, unknown and repeated names: told in line 1, and no row is looked at."""
    file = tmp_path / "a.csv"
    file.write_text("installation,installation,colour\n1,2,3\n")
    mistakes = told(file)
    assert all(each.startswith("line 1") for each in mistakes)
    assert any("stands twice" in each for each in mistakes)
    assert any("'colour'" in each for each in mistakes)
    assert any(each.startswith("line 1, mpan: ") for each in mistakes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, delimiter: str, newline: str, mark: str) -> None:
    """Commas, semicolons or tabs; both line ends; with and without a byte order mark; spaces in numbers."""
    out = StringIO()
    writer = csv.DictWriter(out, list(importer.COLUMNS), delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    content = rows()
    content[0]["mpan"] = f" {content[0]['mpan'][:2]} {content[0]['mpan'][2:]} "
    writer.writerows(content)
    file = tmp_path / "a.csv"
    file.write_bytes((mark + out.getvalue()).encode())
    assert len(importer.read(file, "mine").lines) == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        ("installation".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"a" * 70_000, "longer than"),
        (b"installation,sup\rplier\n1,2\n", "line 1"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """One message that names the file and the cure."""
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        importer.read(file, "mine")


def test_bytes_that_are_not_utf8_are_a_mistake_of_their_line(tmp_path: Path) -> None:
    """A name saved in another encoding is told where it stands."""
    text = csv_text().replace("Cobalt Supply", "Cob\u00e4lt Supply", 1)
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode("latin-1"))
    assert ["line 3: byte" in each and "not UTF-8" in each for each in told(file)] == [True]


def test_a_list_without_homes_is_refused(tmp_path: Path) -> None:
    """Column names alone make no estate."""
    file = tmp_path / "a.csv"
    file.write_text(csv_text().splitlines()[0])
    assert "no homes" in told(file)[0]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2_000))
def test_damage_never_escapes(tmp_path: Path, junk: bytes, at: int) -> None:
    """Any bytes anywhere in a list: it is read, or refused with an InputError, and nothing else happens."""
    good = csv_text().encode()
    file = tmp_path / "a.csv"
    file.write_bytes(good[:at] + junk + good[at + len(junk) :])
    told = ""
    try:
        importer.read(file, "mine")
    except InputError as error:
        told = str(error)
    assert "\x1b" not in told


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_damaged_estate_file_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Cut anywhere or with a line removed, an estate file is refused by line and never half used."""
    whole = tmp_path / "whole.jsonl"
    if not whole.exists():
        imported(write(tmp_path / "a.csv", rows()), whole)
    good = whole.read_bytes()
    lines = good.splitlines(keepends=True)
    bad = tmp_path / "bad.jsonl"
    if data.draw(st.booleans()):
        bad.write_bytes(good[: data.draw(st.integers(1, len(good) - 2))])
    else:
        del lines[data.draw(st.integers(0, len(lines) - 1))]
        bad.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"bad\.jsonl: line \d+"):
        estates.open_estate(str(bad))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=4), st.integers(0, 9_000))
def test_a_bent_estate_file_is_refused_or_works(tmp_path: Path, junk: bytes, at: int) -> None:
    """Bytes changed anywhere: an InputError when it is opened, or an estate that answers for every home."""
    whole = tmp_path / "whole.jsonl"
    if not whole.exists():
        imported(write(tmp_path / "a.csv", rows()), whole)
    good = whole.read_bytes()
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(good[:at] + junk + good[at + len(junk) :])
    try:
        estate = estates.open_estate(str(bad))
    except InputError:
        return
    for number in range(estate.installations):
        home = estate.installation(number)
        estate.validate(home, estate.smso(home), estate.start)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"version":1', '"version":2'),
        ('"combination":"list-1"', '"combination":"list-9"'),
        ('"tariff":"economy7"', '"tariff":"economy8"'),
        ('"condition":"MF5:GT01:gas"', '"condition":"MF5:GT01"'),
        ('"switches":2', '"switches":9'),
        ('"region":"eastern","mpan"', '"region":"utopia","mpan"'),
        ('"title":"454c', '"title":"zz4c'),
    ],
)
def test_an_edited_estate_file_is_checked(tmp_path: Path, before: str, after: str) -> None:
    """Whoever edits the file by hand is told the line."""
    whole = tmp_path / "whole.jsonl"
    imported(write(tmp_path / "a.csv", rows()), whole)
    text = whole.read_text()
    assert before in text
    whole.write_text(text.replace(before, after, 1))
    with pytest.raises(InputError, match=r"whole\.jsonl: line \d+"):
        estates.open_estate(str(whole))


def test_an_independent_number_is_accepted(tmp_path: Path) -> None:
    """A home of no generated estate, typed in by hand with few columns, is enough."""
    twelve = "204512345678"
    file = tmp_path / "hand.csv"
    file.write_text(
        "installation,supplier,active,mpan,hub_model,hub_serial,hub_system_title,hub_firmware,"
        "electricity_model,electricity_serial,electricity_system_title,electricity_firmware\n"
        f"Flat 3,Bob's Power,yes,{twelve}{mpan_check_digit(twelve)},elster_hub,H1,45:4C:53:00:00:00:00:01,1.0,"
        "elster_as300p,E1,454C530000000002,1.0\n"
    )
    estate = imported(file, tmp_path / "hand.jsonl")
    home = estate.installation(estate.find("Flat 3"))
    assert (home.region, home.supplier, home.mprn, len(home.devices)) == ("southern", "Bob's Power", None, 2)
    assert estate.validate(home, estate.smso(home), estate.start) is None


def test_models_of_another_distribution_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter model that someone else ships passes by its kind; under another kind it is refused."""

    class Shipped:
        name = "acme_meter"
        party = Party.ELECTRICITY

    models._foreign.cache_clear()
    monkeypatch.setattr(registry, "models", lambda: {"acme_meter": Shipped()})
    content = rows()[1:2]
    content[0]["electricity_model"] = "acme_meter"
    assert (
        imported(write(tmp_path / "a.csv", content), tmp_path / "a.jsonl").installation(0).devices[1].model
        == "acme_meter"
    )
    content[0]["hub_model"] = "acme_meter"
    assert "no hub model" in told(write(tmp_path / "b.csv", content))[0]
    models._foreign.cache_clear()
