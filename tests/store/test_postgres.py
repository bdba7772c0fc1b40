"""A state on a real PostgreSQL server: what only a server can do to it."""

from collections.abc import Callable

import pytest

from emulator.errors import InputError
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Saved
from emulator.fleet.store import NotSavedError, look, open_state

pytestmark = pytest.mark.stranger

Make = Callable[..., Saved]

OURS = "application_name = 'smets1' AND pid <> pg_backend_pid()"


def on_server(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_a_broken_connection_heals(postgres: str, estate: Estate, saved: Make) -> None:
    """The server ends our session: one save says so and loses nothing, the next goes through, without a restart."""
    store = open_state(postgres, estate)
    store.save({0: [(1, saved(b"one"))]}, 5)
    on_server(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")
    with pytest.raises(NotSavedError, match="nothing saved before is lost"):
        store.save({0: [(2, saved(b"two"))]}, 6)
    assert store.now == 5
    store.save({0: [(2, saved(b"two"))]}, 6)
    assert [number for number, _ in store.load_cell(0)] == [1, 2]
    with pytest.raises(InputError, match="in use by another process"):
        open_state(postgres, estate)
    store.close()


def test_who_was_overtaken_saves_nothing_more(postgres: str, estate: Estate, saved: Make) -> None:
    """A process that lost its connection, and with it its lock, to another one is told to stop, now and later."""
    first = open_state(postgres, estate)
    on_server(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")
    second = open_state(postgres, estate)
    with pytest.raises(NotSavedError):
        first.save({0: [(1, saved(b"first"))]})
    for _ in range(2):
        with pytest.raises(InputError, match="taken this state over"):
            first.save({0: [(1, saved(b"first"))]})
    second.save({0: [(1, saved(b"second"))]})
    second.close()
    with pytest.raises(InputError, match="taken this state over"):
        first.save({0: [(1, saved(b"first"))]})
    first.close()
    assert look(postgres).load_home(0, 1) == saved(b"second")


def test_a_batch_is_one_transaction(postgres: str, estate: Estate, saved: Make) -> None:
    """A batch that the server refuses in the middle leaves nothing behind."""
    store = open_state(postgres, estate)
    store.save({0: [(1, saved(b"old"))]}, 5)
    on_server(postgres, "ALTER TABLE smets1.home ADD CONSTRAINT small CHECK (installation < 5)")
    with pytest.raises(InputError):
        store.save({0: [(1, saved(b"new")), (2, None)], 1: [(7, saved(b"new"))]}, 6)
    assert (list(store.load_cell(0)), store.now) == ([(1, saved(b"old"))], 5)
    store.close()


def test_a_commit_waits_for_the_disk(postgres: str, estate: Estate) -> None:
    """Whatever the server's default, our commits are synchronous."""
    on_server(postgres, "ALTER ROLE smets1 SET synchronous_commit = off")
    try:
        store = open_state(postgres, estate)
        session = store._session()  # type: ignore[attr-defined]
        assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)
        store.close()
    finally:
        on_server(postgres, "ALTER ROLE smets1 RESET synchronous_commit")


def test_a_newer_state_and_a_damaged_home(postgres: str, estate: Estate, saved: Make) -> None:
    """A newer format is refused; a home with a wrong byte is named."""
    store = open_state(postgres, estate)
    store.save({0: [(1, saved())]})
    on_server(postgres, "UPDATE smets1.home SET saved = set_byte(saved, 9, 0)")
    with pytest.raises(InputError, match="installation 1 is damaged"):
        list(store.load_cell(0))
    store.close()
    on_server(postgres, "UPDATE smets1.fact SET value = '2' WHERE name = 'format'")
    with pytest.raises(InputError, match="newer version"):
        open_state(postgres, estate)


def test_no_server_and_no_password_in_the_message(estate: Estate) -> None:
    """An address where nobody answers is one line, and does not repeat the password."""
    with pytest.raises(InputError) as caught:
        open_state("postgresql://me:secret-word@127.0.0.1:1/state", estate)
    assert "secret-word" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "postgresql://127.0.0.1:1/state" in str(caught.value)
    with pytest.raises(InputError):
        open_state("postgresql://[", estate)
