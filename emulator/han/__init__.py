"""The home area network: radio between the hub and what hangs behind it, at state level.

What a migration or a switching test can notice of a ZigBee Smart Energy network is whether a device is joined, when it
hears, how good the link is and which error its loss makes. That is what stands here, as functions of time and keyed
chance. Frames of the radio itself are not made: what crosses the HAN is the COSEM wrapper frame, unchanged.

`join` is how a device gets in (install code, link key), `sleepy` when a battery device hears, `link_state` one link.
The hub's and the meters' behaviour is not known here.
"""
