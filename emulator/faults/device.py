"""All faults in devices: of keys, of counters, of clocks. What they are asked and may answer: `occasions`."""

from emulator.faults import clock, counters, keys
from emulator.faults.fault import Fault

FAULTS: tuple[type[Fault], ...] = (*keys.FAULTS, *counters.FAULTS, *clock.FAULTS)
"""Every one, in the order of the table of faults."""
