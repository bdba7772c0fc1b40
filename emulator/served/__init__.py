"""A served estate, seen from outside: its process, its HTTP door, and the handles a test holds.

What stands here knows the estate as any other program does: by the ready line, by HTTP and by `smets1 keys`. It never
touches a cell, so a test that passes here shows what a stranger would see. `client` alone imports next to nothing, as
the command line and the pytest plugin begin with it.
"""
