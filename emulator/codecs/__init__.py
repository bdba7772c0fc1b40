"""Bytes: every frame of the emulated world, each defined once and checked against itself.

A frame is a Construct definition with a typed value beside it. The definition is the oracle: it parses and builds
every field, and it runs in tests, in the dissector and wherever nobody is in a hurry. For the hot path a frame may have
a faster *rung* that must agree with it in value and in refusal: a fixed layout lowered to one `struct.Struct`
(`layout.py`), or a hand-made twin (`fast/`). `tests/agreement` iterates the catalogue and holds the rungs together.

This room knows bytes and nothing else: no keys, no state, no clock. What is wrong with bytes is said with one error,
`FrameError`; nothing else leaves a codec, whatever the bytes.
"""
