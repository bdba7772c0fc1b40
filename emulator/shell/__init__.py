"""The shell: the only sockets and the only real clock.

Inside it `live` keeps an estate's cells on one virtual clock and knows neither; `pace` turns real time into virtual
time; `service` has them meet: what clients sent is let in, what is due is done, what changed is made durable, and only
then do the answers leave. The listeners (`tcp`, `udp`, `hdlc_tcp`) know bytes and peers and nothing of meters.

Tunnels lead here from real gateways: `ipsec_udp`, `mpls_udp` and `tun`, each a door to `inner`, the hosts behind it
(with `inner_tcp`, where no kernel has their streams). `outer` is what those doors share, `peer_config` what the gateway
at the other end is to load.
"""
