"""IKEv2 (RFC 7296), both roles, without a socket or a clock: datagrams and the time go in, effects come out.

`IkePeer` is a gateway: its connections as data, its IKE SAs, cookies, the bound on half-open ones. `IkeSa` is one IKE
SA: its window of one, its children, its timers. The same bytes in give the same bytes out, for every key, nonce and
SPI is derived from a seed. `pair.virtual_pair` runs two of them against each other in memory.
"""
