"""The command `smets1`, which ends when whoever holds its stdin has gone: `python -m emulator.served.leash serve ...`.

A test run that is killed cannot stop what it started. So it holds a pipe, the kernel closes the pipe with it, and what
stands here asks itself to end, as SIGTERM would.
"""

import os
import signal
import threading


def hold() -> None:
    """SIGTERM to this process once stdin has come to its end."""

    def watch() -> None:
        while os.read(0, 65_536):  # not through sys.stdin, whose lock this thread would hold when Python ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="leash", daemon=True).start()


if __name__ == "__main__":
    hold()
    from emulator.cli import main

    main()
