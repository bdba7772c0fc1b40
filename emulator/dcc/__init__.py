"""Floor 5: the DCC's side of a migration: who may start today, what is asked of each home, what became of it.

Reads the old operator's record and what comes over the air, never the truth of an estate: a ledger that peeked would
agree with itself. The audit is the second witness.
"""
