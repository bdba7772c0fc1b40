"""The same answers from `cryptography`, for machines without a compiler. Tens of microseconds a message.

What it cannot promise: OpenSSL's copies of a key and Python's `bytes` are not wiped.
"""
