"""HTTP over the control room: routes, a token, events, metrics. Nothing here knows an estate from the inside.

Whoever runs a served estate starts it beside its other listeners, in the same event loop, as the engine belongs to one
thread:

    from emulator.web.app import make_app, run

    app = make_app(live, pace, token=None)         # Starlette; without a token one is made: app.state.token
    served = await run(app, "127.0.0.1", 0)        # listens when it returns; served.port says where
    ...
    await served.stop()                            # open event streams end, then it is gone

`live` and `pace` are what `emulator/control/live.py` describes. `run` refuses to listen beyond loopback. The token
(`auth.new_token`, or `auth.read_token(path)`) belongs in the ready line and nowhere else: no log, no answer and no
metric shows it, or any key.
"""
