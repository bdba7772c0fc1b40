"""Cells spread over worker processes, met again at barriers.

A worker takes whole cells (cell number modulo workers) and keeps them for the run, so nothing of a cell ever travels
but the answers to what it was asked. Workers are *spawned*: a fork would copy the parent's keys and locks, and a
context store refuses any process but its maker anyhow. With one worker the same hosts run in this process, which is
what a debugger and a profiler want.

What travels is pickled to bytes here, and not by the pipe, whose buffer Python 3.13.0 sometimes complains of on stderr.

The order in which answers arrive depends on the machine; the order of the answers handed on does not: by cell.

Workers have no opinion on interrupts and print nothing: whoever presses Ctrl-C means the parent, and the parent ends
them. The same goes for a failure: those still at work are ended and not waited for.
"""

import gc
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Protocol, TypeAlias

from emulator.errors import EmulatorError

DEBUG_VARIABLE: Final = "SMETS1_TRACEBACK"


class WorkerError(EmulatorError):
    """A worker failed or died. The text says which cell and what; SMETS1_TRACEBACK=1 shows where."""


class Host(Protocol):
    """What runs in a worker: makes cells on first use and answers calls about them."""

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> Any: ...


HostFactory: TypeAlias = Callable[[], Host]
"""Picklable: it is called inside the worker."""

Heard: TypeAlias = Callable[[int, Any], None]


class Shards:
    """Hosts for `cells` cells on `workers` processes. Use as a context manager."""

    def __init__(self, factory: HostFactory, cells: int, workers: int) -> None:
        self.cells = cells
        self.workers = max(1, min(workers, cells))
        self._local: Host | None = None
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        if self.workers == 1:
            self._local = factory()
            return
        context = multiprocessing.get_context("spawn")
        with _deaf_to_interrupts():
            for _ in range(self.workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, factory), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for process in self._processes:
                process.terminate()
        self.close()

    def ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]], heard: Heard | None = None) -> dict[int, Any]:
        """Call `method` on each cell named in `arguments`; all answers, in cell order.

        `heard(cell, answer)` is called as each arrives, for progress. Raises WorkerError."""
        order = sorted(arguments)
        answers: dict[int, Any] = {}
        if self._local is not None:
            for cell in order:
                answers[cell] = self._local.call(cell, method, arguments[cell])
                if heard:
                    heard(cell, answers[cell])
            return answers
        waiting: dict[int, list[int]] = {}
        for cell in reversed(order):
            waiting.setdefault(cell % self.workers, []).append(cell)
        busy = {self._pipes[worker]: worker for worker in waiting}
        for pipe, worker in busy.items():
            self._give(pipe, waiting[worker].pop(), method, arguments)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                cell, answer = self._take(ready, busy[ready])
                answers[cell] = answer
                if heard:
                    heard(cell, answer)
                left = waiting[busy[ready]]
                if left:
                    self._give(ready, left.pop(), method, arguments)
                else:
                    del busy[ready]
        return {cell: answers[cell] for cell in order}

    def _give(self, pipe: Connection, cell: int, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> None:
        try:
            pipe.send_bytes(pickle.dumps((cell, method, arguments[cell])))
        except OSError as error:
            raise WorkerError(f"the worker of cell {cell} is gone before it was asked to {method}") from error

    def _take(self, pipe: Connection, worker: int) -> tuple[int, Any]:
        try:
            cell, failed, answer = pipe.recv()
        except (EOFError, OSError) as error:
            self._processes[worker].join(timeout=1)
            code = self._processes[worker].exitcode
            raise WorkerError(f"worker {worker} died (exit code {code}); is there memory left?") from error
        if failed:
            text, trace = answer
            if os.environ.get(DEBUG_VARIABLE):
                sys.stderr.write(trace)
            raise WorkerError(f"cell {cell} failed: {text} (set {DEBUG_VARIABLE}=1 to see where)")
        return cell, answer

    def close(self) -> None:
        """Let the workers go. Harmless when called twice."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
                process.join(timeout=5)
        self._pipes.clear()
        self._processes.clear()
        self._local = None


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started here inherit a mask without SIGINT, from their first instruction on; ours comes later."""
    resource_tracker.ensure_running()  # it would lift the mask when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, factory: HostFactory) -> None:
    """A worker's life: answer calls until the pipe closes."""
    host: Host | None = None
    quiet_collector()
    while True:
        try:
            cell, method, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if host is None:
                host = factory()
            message = pickle.dumps((cell, False, host.call(cell, method, arguments)))
        except Exception as error:  # told to the parent, which raises it as one line
            text = f"{type(error).__name__}: {error}"
            message = pickle.dumps((cell, True, (text, traceback.format_exc())))
        try:
            pipe.send_bytes(message)
        except OSError:
            return  # nobody listens any more


def quiet_collector() -> None:
    """Collect rarely: the estate's long-lived rows and trees hold no cycles worth looking for every 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def peak_bytes(workers: Mapping[int, int]) -> int:
    """The peak memory of this process and its workers together: `workers` are their process numbers and own peaks."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return own + sum(peak for process, peak in workers.items() if process != os.getpid())
