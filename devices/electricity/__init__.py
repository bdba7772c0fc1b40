"""The electricity meter: registers by tariff rate, a supply relay, and up to five auxiliary load switches.

`model` is the machine, `objects` what it shows over COSEM, `relay` and `auxiliary` its two kinds of contact, `snapshot`
what of its physics goes into a row.
"""
