"""What both places of a state promise: kept, alone, its own; and looked at without harm."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from emulator.errors import InputError
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.saved import Saved
from emulator.fleet.store import look, open_state

Make = Callable[..., Saved]


def test_what_was_saved_is_there_again(place: str, estate: Estate, saved: Make) -> None:
    """Homes of several cells, replaced homes, forgotten homes, facts, time and the count of openings."""
    store = open_state(place, estate)
    assert (store.openings, store.now, store.keys()) == (1, 0, [])
    assert list(store.load_cell(0)) == []
    store.save({0: [(1, saved(b"one")), (2, saved(b"two"))], 3: [(9, saved(b"nine"))]}, 50)
    store.save({0: [(1, saved(b"one again")), (2, None)]}, 40)
    store.set("colour", b"blue")
    store.set("taste", b"")
    store.set("colour", None)
    store.close()
    store.close()
    store = open_state(place, estate)
    assert (store.openings, store.now, store.keys(), store.get("taste"), store.get("colour")) == (
        2, 50, ["taste"], b"", None,
    )  # fmt: skip
    assert list(store.load_cell(0)) == [(1, saved(b"one again"))]
    assert list(store.load_cell(3)) == [(9, saved(b"nine"))]
    assert store.load_home(3, 9) == saved(b"nine")
    assert store.load_home(0, 2) is None
    assert store.load_home(7, 2) is None
    assert dict(store.facts().homes) == {0: 1, 3: 1}
    store.save({}, 60)
    store.close()
    assert look(place).now == 60


def test_many_homes_in_one_batch(place: str, estate: Estate, saved: Make) -> None:
    """A thousand rows at once, and all of them over again."""
    store = open_state(place, estate)
    for row in (b"first", b"second"):
        home = saved(row)
        store.save({0: [(number, home) for number in range(1_000)]})
    assert [number for number, home in store.load_cell(0) if home.machines == b"second"] == list(range(1_000))
    store.close()


def test_one_process_runs_a_state(place: str, estate: Estate, saved: Make) -> None:
    """A second opening is refused by name of the reason, looking is not; after the first is closed it works."""
    first = open_state(place, estate)
    with pytest.raises(InputError, match="in use by"):
        open_state(place, estate)
    first.save({0: [(1, saved())]}, 5)
    looking = look(place)
    assert (looking.load_home(0, 1), looking.now, looking.openings) == (saved(), 5, 1)
    looking.close()
    first.save({0: [(2, saved())]}, 6)
    first.close()
    open_state(place, estate).close()


def test_another_estate_is_refused(place: str, estate: Estate) -> None:
    """Another name, seed, size or recipe: told apart, and nothing is changed."""
    open_state(place, estate).close()
    recipe = msgspec.structs.replace(estate.recipe, eui64_prefix="0A5352")
    others = {
        "not thousand": open_estate("thousand"),
        "under seed 1, not 2": open_estate("demo-street", 2),
        "holds 16 homes": open_estate("demo-street", installations=12),
        "earlier recipe": Estate(DrawnHomes(recipe, estate.seed), estate.seed),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=message):
            open_state(place, other)
    store = open_state(place, estate)
    assert store.openings == 2
    store.close()


def test_nothing_to_look_at(place: str) -> None:
    """Looking where no state lies says so and makes none."""
    with pytest.raises(InputError, match="no state lies there"):
        look(place)
    assert "://" in place or not Path(place).exists()


def test_an_estates_digest_follows_what_it_says(tmp_path: Path) -> None:
    """The same under another seed; another for a changed recipe, a changed list, or fewer homes of one."""
    from emulator.fleet import exporter, importer, listing

    street = open_estate("demo-street")
    assert street.digest() == open_estate("demo-street", 9).digest()
    assert street.digest() != open_estate("thousand").digest()
    assert street.digest() != open_estate("demo-street", installations=12).digest()
    files = []
    for homes in (3, 4):
        table, file = tmp_path / "homes.csv", tmp_path / f"{homes}.jsonl"
        table.write_text(exporter.to_csv(street, range(homes), True), "utf-8")
        imported = importer.read(table, "mine", street.recipe.start, 100)
        listing.write(file, imported.recipe, imported.lines, len(imported.lines))
        files.append(str(file))
    three, four = (open_estate(file) for file in files)
    assert three.digest() == open_estate(files[0]).digest() != four.digest()
    before = Path(files[0]).read_text("utf-8")
    Path(files[0]).write_text(before.replace('"supplier":"', '"supplier":"Old '), "utf-8")
    assert open_estate(files[0]).digest() != three.digest()
