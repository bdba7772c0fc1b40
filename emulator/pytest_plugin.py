"""The pytest plugin: an emulated estate as a fixture."""
