"""An emulator of SMETS1 meters, communications hubs and their link to the data centre.

Imports nothing: the pytest plugin loads this package in every test run of its users, and
pays only for what a fixture asks for.
"""

__version__ = "0.1.0"
