"""DLMS/COSEM without input or output: what a meter answers, and what a head end asks.

Two ends live here. `server.Server` takes an APDU that came from one client and returns the answer; `client.Client`
makes requests and reads answers. Neither opens a socket, reads a clock or draws a random number: bytes, `now` and a
device go in, bytes come out, and what is worth knowing goes to `device.note`.

COSEM objects are *flyweights*: one set per device model, shared by every device of that model, holding no state of any
device. What a device does not have in common with its model (a written attribute, a counter, a relay left open)
lives in `device.deviations`, and most devices deviate in almost nothing. That is what makes 141,372 homes cheap:
waking one builds a `Server` of a few slots and no objects at all.

The room knows the rules of the standard (DLMS UA 1000-1 "Blue Book", 1000-2 "Green Book") and no maker's habit: those
come in as a `ServerProfile`, as bindings and as hooks. It knows nothing of links, hubs, or the DCC.
"""
