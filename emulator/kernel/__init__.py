"""Floor 0: time, chance, order, record. Knows no protocol, no device and no file format."""
