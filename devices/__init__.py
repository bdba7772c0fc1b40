"""Device models: the hub, the meters and the display, as physics over `emulator`'s floors 0 to 2."""
