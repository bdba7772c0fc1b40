"""LDP (RFC 5036), sans I/O: `speaker` is one router's, `discovery` its neighbours, `session` one conversation.

`bindings` keeps which label means what to whom, and writes the router's tables. `settings` has the timers. Nothing here
has a socket or a clock: datagrams, stretches of a TCP stream and instants go in, `effects` come out.

Supported: link hellos, downstream unsolicited distribution, independent control, liberal retention, IPv4 prefixes, the
platform's label space. Not: targeted hellos, on-demand distribution, loop detection (a peer may propose them; the
session then does without, as the standard says), and IPv6.
"""
