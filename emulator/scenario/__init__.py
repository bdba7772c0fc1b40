"""Floor 5: running an estate by hand or by script, in virtual time."""
