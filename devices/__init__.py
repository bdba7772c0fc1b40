"""Devices: what stands in a home, as machines made of data.

A device model is a TOML profile (fixtures/profiles), a tree of COSEM objects built once for the model, and physics that
are functions of time. One device is a slotted object that holds only what deviates from those three. Nothing here
knows a socket, a link or a campaign; nothing below `emulator.fleet.registry` knows these models by name.

What passes through a home's ports after a short message, in order:

    sms              -> hub      SMETS1 WAKE 10.0.0.1:4061 [token]
    hub alerts       ->          address (6 bytes), wrapper 1 -> 103, DataNotification, plain: name and token
    wan              -> hub      wrapper client -> 1..4
    hub han.*        -> meter    the same bytes, for logical devices 2 (electricity) and 3 (gas)
    meter han        -> hub      wrapper 2 or 3 -> client
    hub wan          ->          the same bytes
    meter han        -> hub      address (6 bytes), wrapper 2 or 3 -> 103, general-glo: an alert, to where the meter was
    hub alerts       ->          told in its own class 40; the same bytes

Logical devices 1 (the hub) and 4 (its mirror of the gas meter) are answered by the hub itself. Clients are 1
(management, HLS-GMAC, ciphered) and 16 (public: names, counter). All of these numbers are profile defaults.
"""
