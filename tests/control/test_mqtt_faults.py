"""Faults over MQTT: put in force, seen to strike, cleared, by the names they have in scenarios and over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("amqtt")

from emulator.faults import catalogue

PATIENCE_S = 30.0
NAME = "dco-refuses"
SETTINGS = {"installation": 1, "device": "electricity", "service": "keys"}
METER = "installations/1/electricity"


def test_a_fault_is_injected_strikes_and_is_cleared(orders: Callable[[], Any]) -> None:
    """No change of keys is countersigned, as often as it is asked for, until the fault is cleared: then it is."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders() as here:
            await here.ask("set-speed", speed=0)  # time passes only as far as a visit needs
            injected = (await here.ask("inject-fault", fault=NAME, settings=SETTINGS))["answer"]
            assert (injected["fault"], injected["fired"]) == (NAME, 0)
            for fired in (1, 2):
                refused = await here.ask(f"{METER}/rotate-keys")
                assert "dual-control" in refused["error"]
                (shown,) = (await here.ask("faults"))["answer"]["faults"]
                assert (shown["number"], shown["fired"]) == (injected["number"], fired)
            cleared = (await here.ask("clear-fault", number=injected["number"]))["answer"]
            assert cleared["fired"] == 2
            told = (await here.ask("faults"))["answer"]
            assert told == {"faults": [], "ended": [cleared]}
            changed = (await here.ask(f"{METER}/rotate-keys"))["answer"]
            assert changed["data"] == 1
            assert "no fault 1 is in force" in (await here.ask("clear-fault", number=injected["number"]))["error"]

    asyncio.run(body())


def test_the_names_are_those_of_the_catalogue(orders: Callable[[], Any]) -> None:
    """Every fault that a scenario may name is told here; another name is refused with those there are."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders() as here:
            kinds = (await here.ask("fault-kinds"))["answer"]["faults"]
            assert [each["fault"] for each in kinds] == list(catalogue.KINDS)
            refused = await here.ask("inject-fault", fault="dco-declines", settings={})
            assert "there is no fault 'dco-declines'" in refused["error"]
            assert NAME in refused["cure"]
            assert (await here.ask("faults"))["answer"]["faults"] == []

    asyncio.run(body())
