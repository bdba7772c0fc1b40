"""The oracle: can this meter be saved, and by which commands?

`state` says what matters of a device and its keepers, `transitions` what each command does to that, `search` finds the
shortest way back, `verdict` says in words what was found. `look` and `observe` read the truth of a real cell, `bench`
takes a copy of a device to try things on, `steps` are the commands as conversations, `heal` carries a way back out over
the real path. `prove` drives the machines through every sequence and compares, `audit` does so at a campaign's end.
"""
