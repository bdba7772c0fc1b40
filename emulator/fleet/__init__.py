"""About many: which homes there are, what each holds, where they sleep.

An estate is a *function*, not a list: home number n of a recipe under a seed is computed when it is asked for, the same
in every process, so 141,372 homes cost nothing until one is woken. What a home changed while awake goes to its row in
a column store. Nothing here knows a protocol, a byte of DLMS or the physics of a device.
"""
