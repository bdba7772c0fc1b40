"""Cells on worker processes: answers in order, and one line and no hang when a worker fails."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.fleet import shards
from emulator.fleet.shards import Shards, WorkerError

HOSTS = '''
import os, signal, time
from emulator.errors import UsageError

class Host:
    """Does what it is told."""

    def __init__(self):
        self.calls = {}

    def call(self, cell, method, arguments):
        self.calls[cell] = self.calls.get(cell, 0) + 1
        return getattr(self, method)(cell, *arguments)

    def echo(self, cell, *words):
        return (cell, self.calls[cell], *words)

    def slow(self, cell, seconds):
        time.sleep(seconds)
        return cell

    def process(self, cell):
        return os.getpid()

    def raises(self, cell, which):
        if cell == which:
            raise UsageError(f"cell {cell} has had enough")
        return cell

    def stumbles(self, cell, which):
        if cell == which:
            raise ZeroDivisionError("a fault of ours")
        time.sleep(0.5)
        return cell

    def dies(self, cell, which):
        if cell == which:
            os._exit(3)
        return cell

    def killed(self, cell, which):
        if cell == which:
            os.kill(os.getpid(), signal.SIGKILL)
        return cell

    def unsendable(self, cell):
        return lambda: cell


class BadHost:
    def __init__(self):
        raise UsageError("no host can be made here")
'''


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of hosts that a spawned worker can import."""
    (tmp_path / "shard_hosts.py").write_text(HOSTS, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shard_hosts", raising=False)
    import shard_hosts

    yield shard_hosts
    sys.modules.pop("shard_hosts", None)


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Any:
    """No test leaves a worker behind."""
    yield
    assert multiprocessing.active_children() == []


def ask_all(pool: Shards, method: str, *arguments: Any, heard: Callable[[int, Any], None] | None = None) -> Any:
    return pool.ask(method, dict.fromkeys(range(pool.cells), arguments), heard)


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_stand_in_cell_order_whoever_was_first(hosts: Any, workers: int) -> None:
    """The first cell is the slowest; it stands first all the same. Progress is told as it comes."""
    heard: list[int] = []
    with Shards(hosts.Host, 5, workers) as pool:
        assert pool.workers == workers
        delays = {cell: (0.3 if cell == 0 else 0.0,) for cell in (4, 2, 0, 1, 3)}
        answers = pool.ask("slow", delays, lambda cell, answer: heard.append(cell))
        assert list(answers.items()) == [(cell, cell) for cell in range(5)]
        assert sorted(heard) == [0, 1, 2, 3, 4]
        if workers > 1:
            assert heard[0] != 0
        assert list(ask_all(pool, "echo", "a").values()) == [(cell, 2, "a") for cell in range(5)]
        assert pool.ask("echo", {}) == {}
        assert pool.ask("echo", {3: ("b",)}) == {3: (3, 3, "b")}


def test_a_worker_keeps_its_cells(hosts: Any) -> None:
    """Cell number modulo workers, for the whole run; no more workers than cells; all fresh processes."""
    with Shards(hosts.Host, 3, 8) as pool:
        assert pool.workers == 3
        first = ask_all(pool, "process")
        assert ask_all(pool, "process") == first
        assert len(set(first.values())) == 3
        assert os.getpid() not in first.values()


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("raises", "cell 1 failed: UsageError: cell 1 has had enough"),
        ("stumbles", "cell 1 failed: ZeroDivisionError: a fault of ours"),
        ("dies", "worker 1 died (exit code 3)"),
        ("killed", f"worker 1 died (exit code -{int(signal.SIGKILL)})"),
    ],
)
def test_a_worker_that_fails_is_one_line_and_no_hang(
    hosts: Any, capfd: pytest.CaptureFixture[str], method: str, text: str
) -> None:
    """It says which and how; the others are let go at once; nobody prints a traceback."""
    began = time.monotonic()
    with pytest.raises(WorkerError) as failure, Shards(hosts.Host, 4, 2) as pool:
        ask_all(pool, method, 1)
    assert text in str(failure.value)
    assert "\n" not in str(failure.value)
    assert time.monotonic() - began < 10
    assert "Traceback" not in capfd.readouterr().err


def test_others_at_work_are_not_waited_for(hosts: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """A worker in the middle of a long call is ended when another has failed."""
    began = time.monotonic()
    with pytest.raises(WorkerError), Shards(hosts.Host, 2, 2) as pool:
        ask_all(pool, "echo")
        began = time.monotonic()
        pool.ask("slow", {0: (60.0,), 1: ("not a number",)})
    assert time.monotonic() - began < 4
    assert "Traceback" not in capfd.readouterr().err


def test_a_dead_worker_is_missed_when_it_is_asked_again(hosts: Any) -> None:
    """Asking who has gone is the same one line."""
    with pytest.raises(WorkerError, match=r"worker 1 died|is gone"), Shards(hosts.Host, 2, 2) as pool:
        victim = ask_all(pool, "process")[1]
        os.kill(victim, signal.SIGKILL)
        time.sleep(0.2)
        ask_all(pool, "echo")


def test_a_host_that_cannot_be_made_and_an_answer_that_cannot_be_sent(hosts: Any) -> None:
    """Both are told like any other failure."""
    with pytest.raises(WorkerError, match="no host can be made here"), Shards(hosts.BadHost, 2, 2) as pool:
        ask_all(pool, "echo")
    with pytest.raises(WorkerError, match=r"cell . failed: .*(pickle|local object)"), Shards(hosts.Host, 2, 2) as pool:
        ask_all(pool, "unsendable")


def test_the_trace_is_shown_to_who_asks_for_it(
    hosts: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """SMETS1_TRACEBACK=1 shows where in the worker it went wrong."""
    monkeypatch.setenv(shards.DEBUG_VARIABLE, "1")
    with pytest.raises(WorkerError), Shards(hosts.Host, 2, 2) as pool:
        ask_all(pool, "stumbles", 1)
    assert 'raise ZeroDivisionError("a fault of ours")' in capfd.readouterr().err


def test_closing_early_ends_quietly(hosts: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """An interrupt in the middle of a call ends workers that nobody listens to any more, without a word of theirs."""
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Shards(hosts.Host, 2, 2) as pool:
        ask_all(pool, "echo")

        def interrupt(_: int, __: int, /) -> None:
            raise KeyboardInterrupt

        began = time.monotonic()
        pool.ask("slow", {0: (0.0,), 1: (30.0,)}, interrupt)
    assert time.monotonic() - began < 4
    pool.close()  # harmless
    assert "Traceback" not in capfd.readouterr().err
