"""The communications hub: asleep until a short message, then the way from the WAN to everything in the home.

`radio` is its cellular side (messages, attaching, falling asleep), `model` the machine that forwards, `mirror` the
logical device that shows the gas meter while it sleeps, `objects` its own.
"""
