"""The watch: what the system under test does wrong, and what must never be so.

`watch` sees every APDU on both sides of a device's server and hands it to those who each know one kind of misdeed
(`counters`, `leaks`, `protection`, `changes`, `heating`); what they find is a `violation` in a `register`. `checks` are
the standing invariants of a whole run. Nothing here changes what a device or a head end does.
"""
