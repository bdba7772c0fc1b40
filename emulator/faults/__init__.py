"""Mischief: what can be made to go wrong, where, with whom, when and how often.

`fault` says what a fault is, `mischief` holds those in force in one cell and is asked by whoever they may strike.
"""
