"""The oracle: can this meter be saved, and by which commands?

`state` says what matters of a device and its keepers, `transitions` what each command does to that, `search` finds the
shortest way back, `verdict` says in words what was found. `observe` reads the truth off a bench, `heal` carries the way
out over the real path, and `prove` and `audit` hold all of it against the real device machines.
"""
