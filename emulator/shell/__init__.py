"""The shell: the only sockets and the only real clock.

Inside it `live` keeps an estate's cells on one virtual clock and knows neither; `pace` turns real time into virtual
time; `service` has them meet: what clients sent is let in, what is due is done, what changed is made durable, and only
then do the answers leave. The listeners (`tcp`, `udp`, `hdlc_tcp`) know bytes and peers and nothing of meters.
"""
