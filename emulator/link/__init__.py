"""The way between the data centre and a hub: real bytes in every layer, real losses, virtual time.

Two legs. The *core link* runs from the data centre to the mobile operator's private network: `chain` puts a frame into
UDP and IPv4 (`datagram`), then into what the link's kind asks for (`kinds`: `esp` with the keys of `sad`, or `mpls`),
takes it apart at the other end, keeps the record (`log`) and is hit by outages (`outages`). The *air* (`air`) runs from
there to the hub. `tap` writes what crosses the core link to a capture with its keys beside it.

Where IKE makes the associations (`ike`), `esp_spec` says what it agreed on, and `esp_end` is one gateway's end of the
connection, in UDP (`encap`) where there is a NAT (`nat`), its packets cut to what the path takes (`fragments`).

`impairments` are models of what a link may do to packets, composable; who puts which of them on which link is not known
here.

What a frame means, who an installation is and what happens to a packet on purpose (faults) is not known here.
"""
