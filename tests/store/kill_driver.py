"""Run by test_kill: a live estate that anything may happen to, as many times as the test likes.

It starts once and forks a life for each line it reads, so that a life begins in milliseconds. A life opens the state,
connects to the test's socket, and answers what it is sent until it is killed: batch by batch, each committed before a
byte of it leaves. Argument: the state, the socket.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from emulator.commands import RaiseAlert
from emulator.fleet.drawn import DrawnHomes
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.store import open_state
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate

FRAME, ALERT, STOP, HELLO = b"F", b"A", b"S", b"H"
BATCH = 32


def street() -> Estate:
    """The demo street cut into cells of three, so that a batch has several files to commit."""
    import msgspec

    street = open_estate("demo-street")
    return Estate(DrawnHomes(msgspec.structs.replace(street.recipe, cell=3), street.seed), street.seed)


def live(state: str, address: str) -> None:
    estate = LiveEstate(street(), store=open_state(state, street()))
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect(address)
    peer.send(HELLO + os.getpid().to_bytes(4, "big"))
    alerts: list[bytes] = []
    estate.on_alert = lambda installation, frame, now: alerts.append(ALERT + installation.to_bytes(4, "big") + frame)

    def answer(number: int) -> Callable[[bytes], None]:
        to = FRAME + number.to_bytes(4, "big")
        return lambda frame: [peer.send(to + frame)].clear()

    lines = {number: estate.line(number, answer(number)) for number in range(estate.estate.installations)}
    while True:
        batch = [peer.recv(65536)]
        while len(batch) < BATCH:
            try:
                batch.append(peer.recv(65536, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
        if b"" in batch:
            return
        for message in batch:
            installation = int.from_bytes(message[1:5], "big")
            if message[:1] == FRAME:
                lines[installation].send(message[5:])
            elif message[:1] == ALERT:
                estate.command(installation, Party.ELECTRICITY, RaiseAlert(0x8F1D, "load"))
        estate.advance(estate.now + 1_000)
        estate.commit()
        while alerts:
            peer.send(alerts.pop(0))
        if STOP in batch:
            estate.close()
            return


def warm_up() -> None:
    """Read profiles, build object trees: what every life needs and none changes."""
    estate = LiveEstate(street())
    for number in range(estate.estate.installations):
        for device in estate.estate.installation(number).devices:
            estate.command(number, device.kind, RaiseAlert(1))
    estate.advance(estate.now + 1_000)


def main(state: str, address: str) -> None:
    warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin.readline():
        if not os.fork():
            signal.alarm(60)
            try:
                live(state, address)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
