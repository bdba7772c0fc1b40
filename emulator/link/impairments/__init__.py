"""Impairments: what a link may do to packets, as models that compose, in virtual time, all chance keyed.

A model (`base.Impairment`) is one fault on one link, one way; `pipeline` puts them one after another. They know of
bytes and instants only; which of them are in force where, when and for whom is what the catalogue of faults says
(`emulator.faults`, the faults named link-...), and a cell carries it out. None configured costs a link one look at
whether there is any.

    row of the union of what other tools offer                        here
    1-3   delay, jitter by distribution, correlated                    delay      Delay
    4     loss; correlated                                             loss       Loss
    5, 6  bursts: Gilbert-Elliott; four states                         loss       BurstLoss, MarkovLoss
    7, 8  every Nth; by list                                           loss       EveryNth, Listed
    9     what a filter matches                                        match      Filter
    10,11 duplicate; reorder                                           repeat     Duplicate, Reorder
    12,13 corrupt; bit error rate                                      damage     Corrupt, BitErrors
    14,16 bandwidth with bucket and cells; queue limits, RED, ECN      rate       Rate
    15    a sender held back                                           rate       SenderRate
    17    slots                                                        slots      Slots
    18    MTU: black hole, ICMP, fragments                             mtu        Mtu
    19    down by a schedule                                           cuts       Down (a black window: `link.outages`)
    20    data or time limit, hang                                     cuts       DataLimit
    21    streams                                                      no packets: `faults.link_streams`, at sockets
    22    modes                                                        modes      Modes
    23    per direction                                                each model is of one direction
    24    NAT                                                          translated Translated (over `link.nat`)
    25    peers that crash, pause, are late                            the gateways; in packets: DataLimit, hang
    26    replay, SPI, sequence, tag; lost IKE answers                 tunnels    EspFault; match Filter
    27    labels withdrawn, wrong, TTL, S bit, path down, popped       tunnels    Labels (routers: `link.mpls.faults`)
    28    seed                                                         base       Luck
    29    virtual time                                                 `now` is an argument everywhere

The mobile leg has chance of its own already (`link.air`: latency, loss, short messages); impairments lie on top of it,
unless a delay says that it stands in its place.
"""
