"""A person's or a program's wishes, carried out on a running estate.

Here a `Command` becomes what happens: a button pressed, an object read over the air, a campaign begun. What comes back
is plain data (`views`), so that HTTP, MQTT, the command line and a test all say the same things about the same estate;
nothing here knows which of them asked. Names of routes, verbs and topics are made from the command classes (`names`),
so adding a command is adding a dataclass to `emulator/commands.py` and a function under `@handles`.

The estate is driven elsewhere (`live`): this room asks the machines, puts wakes into their queues and listens to the
journal, and says when something new is due. It never reads a clock and never waits: what takes virtual time is a `Task`
that somebody else lets come to its end.
"""
