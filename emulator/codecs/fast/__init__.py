"""Hand-made twins of the definitions that vary in shape and are hot. Each module is named after its definition's.

A twin may be clever but not lenient: it refuses what the definition refuses, with the same error type. It is
imported when a codec is first used on the fast rung, never by the definition at import.
"""
