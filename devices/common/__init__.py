"""What every device shares: its clock, its loads, its tariff, its registers' ledger, its logs and its memory.

Everything that moves with time is computed when it is read. A device keeps *laws* (a drift, a timetable, an override
until an instant) and the moments at which a law changed, never a counter that somebody has to advance.
"""
