"""Floor 4: one conversation with one installation; what to ask, how keys are changed and rescued.

A conversation is a machine whose behaviour is a *script*: a generator that yields what it wants of the world
(an answer, an alert, a rest) and is resumed with what came. Scripts read from top to bottom like the procedure they
carry out, nest with `yield from`, and cost no thread and no task.
"""
