"""Devices: what stands in a home, as machines made of data.

A device model is a TOML profile (fixtures/profiles), a tree of COSEM objects built once for the model, and physics that
are functions of time. One device is a slotted object that holds only what deviates from those three. Nothing here
knows a socket, a link or a campaign; nothing below `emulator.fleet.registry` knows these models by name.
"""
