"""A TUN device whose other end is the estate: packets in the clear, for who terminates tunnels in the kernel.

It needs CAP_NET_ADMIN (or a user namespace), and the device is given neither address nor route: whoever asked for it
does that, as `smets1 link config --peer tun` prints. While the link is black nothing is read or written.
"""

import asyncio
import fcntl
import os
import re
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from emulator.errors import InputError
from emulator.link.profile import STANDARD, LinkProfile
from emulator.shell.gate import Gate
from emulator.shell.inner import InnerHosts
from emulator.shell.live import LiveEstate
from emulator.shell.outer import BURST, LONGEST

_TUNSETIFF: Final = 0x400454CA
_TUN_WITHOUT_INFO: Final = 0x1001
DEVICE: Final = re.compile(r"^[A-Za-z0-9._-]{1,15}$")
"""What a device may be called."""


class TunDoor:
    """The device `name`, made now and gone with us. InputError: it may not be made, or somebody has it."""

    def __init__(
        self,
        live: LiveEstate,
        gate: Gate,
        name: str,
        carries: Callable[[], bool],
        *,
        profile: LinkProfile = STANDARD,
    ) -> None:
        if not DEVICE.match(name):
            raise InputError(f"{name!r} is no name of a device; use at most 15 letters and digits, like smets1")
        self.name = name
        self.counts: Counter[str] = Counter()
        self._carries = carries
        self._device = -1
        try:
            self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_INFO))
        except OSError as error:
            if self._device >= 0:
                os.close(self._device)
            raise InputError(
                f"the device {name} cannot be made ({error.strerror}); it wants /dev/net/tun and CAP_NET_ADMIN, "
                "or leave --tun away"
            ) from error
        self.hosts = InnerHosts(live, gate, self._out, profile=profile)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._device, self._hear)

    def stop(self) -> None:
        """Give the device back: it is gone then."""
        self._loop.remove_reader(self._device)
        self.hosts.close()
        os.close(self._device)

    def status(self) -> dict[str, Any]:
        """How it stands."""
        return {
            "device": self.name,
            "hubs": str(self.hosts.addresses.network),
            "home_0": self.hosts.addresses.of(0),
            "carries": self._carries(),
            "streams": len(self.hosts.streams),
            "counts": dict(sorted(self.counts.items())),
        }

    def _hear(self) -> None:
        for _ in range(BURST):
            try:
                packet = os.read(self._device, LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # the device is down
                self.counts["down"] += 1
                return
            if not self._carries():
                self.counts["black"] += 1
            elif packet[:1] and packet[0] >> 4 == 4:  # a kernel also sends IPv6 router solicitations
                self.counts["packet"] += 1
                self.hosts.receive(packet)

    def _out(self, packet: bytes) -> None:
        if not self._carries():
            self.counts["black"] += 1
            return
        try:
            os.write(self._device, packet)
            self.counts["sent"] += 1
        except OSError:
            self.counts["unsent"] += 1
