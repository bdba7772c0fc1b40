"""The in-home display as a machine.

It asks when it is woken, and shows what it was last told. It does not ask by itself: a display that polled every ten
seconds, as real ones do, would be nearly a billion events a day for one cohort, and its screen is a function of the
last report anyway. Whoever wants to look wakes it, waits for the answers, and reads the screen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devices.common import frames, nvm
from devices.common.model import DeviceModel, Home, Spec
from devices.common.profile import needed
from emulator.commands import Command
from emulator.crypto.keys import ContextStore
from emulator.errors import FrameError
from emulator.kernel.effects import HAN, Effects, Instant, Note, Port, Send
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND


@dataclass(frozen=True, slots=True)
class Screen:
    """What the display shows. None where it never heard of a meter; `stale` when the last word is too old.

    Energy in Wh, power in W, gas in dm3; `supply` and `valve` 0 off, 1 on, 2 ready.
    """

    electricity_wh: int | None
    power_w: int | None
    rate: int | None
    supply: int | None
    gas_dm3: int | None
    valve: int | None
    stale: bool


class Display:
    """One display."""

    __slots__ = ("_heard", "_reports", "home", "installation", "model", "spec")

    def __init__(
        self,
        model: DeviceModel,
        home: Home,
        spec: Spec,
        store: ContextStore,
        contexts: Mapping[int, int],
        seed: int,
        state: bytes,
    ) -> None:
        self.model = model
        self.home = home
        self.spec = spec
        self.installation = home.number
        self._reports: dict[int, frames.Report] = {}
        self._heard: dict[int, Instant] = {}
        if state:
            for heard, *fields in nvm.unpack(state).physics or ():
                report = frames.Report(*fields)
                self._reports[report.party] = report
                self._heard[report.party] = heard

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        try:
            report = frames.parse_report(frame)
        except FrameError as error:
            return [Note("display.bad-frame", (error.reason, error.offset))]
        self._reports[report.party] = report
        self._heard[report.party] = now
        return []

    def wake(self, now: Instant) -> Effects:
        """Ask the meters."""
        return [Send(HAN, frames.POLL)]

    def command(self, command: Command, now: Instant) -> Effects:
        return [Note("display.command-ignored", (type(command).__name__,))]

    def screen(self, now: Instant) -> Screen:
        """What is shown at `now`."""
        electricity, gas = self._reports.get(Party.ELECTRICITY), self._reports.get(Party.GAS)
        stale_us = needed(self.model.profile.ihd).stale_s * SECOND
        heard = self._heard.get(Party.ELECTRICITY)
        return Screen(
            electricity.total if electricity else None,
            electricity.flow if electricity else None,
            electricity.rate if electricity else None,
            electricity.state if electricity else None,
            gas.total if gas else None,
            gas.state if gas else None,
            heard is None or now - heard > stale_us,
        )

    def snapshot(self) -> bytes:
        """The last reports; b"" before the first."""
        kept: list[list[Any]] = []
        for party, report in sorted(self._reports.items()):
            kept.append(
                [
                    self._heard[party],
                    report.party,
                    report.shown,
                    report.error_us,
                    report.total,
                    report.grains,
                    report.flow,
                    report.state,
                    report.rate,
                ]
            )
        return nvm.pack({}, nvm.Memory(physics=kept or None))
