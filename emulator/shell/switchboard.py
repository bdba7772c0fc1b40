"""Who asked what, so that an answer finds its way back.

A wrapper frame names a client SAP and a server SAP and no caller, and several callers may use the same two. The link
and the hub keep order, so an answer belongs to whoever has waited longest on its route; when nobody waits any more (a
client with several requests under way), to whoever asked there last. Requests and answers get lost, and some are never
answered: who has waited for more than a minute stands back behind others that wait.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from emulator.kernel.effects import Instant, Port
from emulator.kernel.time import MINUTE

Reply: TypeAlias = Callable[[bytes], None]

Route: TypeAlias = tuple[int, Port, int, int]
"""(installation, port, client SAP, server SAP)."""


_PATIENCE: Final = MINUTE


class Exchange(Protocol):
    """Where lines end: a `LiveEstate`."""

    def send(self, line: "Line", frame: bytes) -> bool: ...

    def quit(self, line: "Line", client: int) -> None: ...

    def hang_up(self, line: "Line") -> None: ...


class Line:
    """One client's way to one home. `reply` is called in `commit` with each answering frame; `port` is WAN or one of
    `live_cell.HEADS`. `in_pieces(frame, at, gap in seconds)` is called instead for an answer that comes in two pieces;
    None for a client that takes whole frames only. Close it when the client is gone."""

    __slots__ = ("_exchange", "closed", "in_pieces", "installation", "port", "reply", "routes", "saps")

    def __init__(self, exchange: Exchange, installation: int, reply: Reply, port: Port) -> None:
        self._exchange = exchange
        self.installation = installation
        self.reply = reply
        self.in_pieces: Callable[[bytes, int, float], None] | None = None
        self.port = port
        self.closed = False
        self.saps: set[int] = set()
        """Clients that spoke on it."""
        self.routes: set[Route] = set()

    def send(self, frame: bytes) -> bool:
        """Put a wrapper frame on its way; False when it was dropped because too much is under way already."""
        return self._exchange.send(self, frame)

    def forget(self, client_sap: int) -> None:
        """This line no longer speaks for a client: as `close`, for that client alone."""
        self._exchange.quit(self, client_sap)

    def close(self) -> None:
        """The client is gone; nothing is handed to it any more."""
        self._exchange.hang_up(self)


class _Askers:
    """Who waits on one route, oldest first, and who asked last."""

    __slots__ = ("last", "waiting")

    def __init__(self) -> None:
        self.last: Line | None = None
        self.waiting: OrderedDict[int, tuple[Line, Instant]] = OrderedDict()


class Switchboard:
    """The lines that clients have spoken on. It forgets a line with its last client."""

    __slots__ = ("_round", "_routes", "_speaking")

    def __init__(self) -> None:
        self._routes: dict[Route, _Askers] = {}
        self._speaking: dict[tuple[int, int], int] = {}
        self._round: list[_Askers] = []

    def __len__(self) -> int:
        """How many clients speak with how many homes: pairs of the two."""
        return len(self._speaking)

    def asked(self, line: Line, client: int, server: int, now: Instant) -> None:
        """A client asks a server on a line."""
        if client not in line.saps:
            line.saps.add(client)
            key = (line.installation, client)
            self._speaking[key] = self._speaking.get(key, 0) + 1
        route = (line.installation, line.port, client, server)
        askers = self._routes.get(route)
        if askers is None:
            askers = self._routes[route] = _Askers()
        line.routes.add(route)
        askers.last = line
        askers.waiting[id(line)] = line, now
        askers.waiting.move_to_end(id(line))
        self._round.append(askers)

    def settled(self, answered: bool) -> None:
        """A round of requests was let in; `answered`: and whatever has no answer now will have none."""
        if answered:
            for askers in self._round:
                askers.waiting.clear()
        self._round.clear()

    def whose(self, route: Route, now: Instant) -> Line | None:
        """The line that an answer belongs to; it waits no longer."""
        askers = self._routes.get(route)
        if askers is None:
            return None
        waiting = askers.waiting
        while waiting:
            line, since = waiting.popitem(last=False)[1]
            if not waiting or now - since <= _PATIENCE:
                return line
        return askers.last

    def left(self, line: Line, client: int) -> bool:
        """A client speaks no longer on a line: whether it was the last on which it spoke with the home."""
        line.saps.discard(client)
        for route in [route for route in line.routes if route[2] == client]:
            line.routes.discard(route)
            askers = self._routes[route]
            askers.waiting.pop(id(line), None)
            if askers.last is line:
                askers.last = None
            if askers.last is None and not askers.waiting:
                del self._routes[route]
        key = (line.installation, client)
        self._speaking[key] -= 1
        if self._speaking[key]:
            return False
        del self._speaking[key]
        return True
