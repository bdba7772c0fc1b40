"""The core link over MQTT: told, failed, healed, its gateways killed, cut over, by the names it has over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("amqtt")

PATIENCE_S = 60.0
READ = "installations/1/electricity/read-object"


async def told(here: Any) -> dict[str, Any]:
    """The status."""
    answer = (await here.ask("link-status"))["answer"]
    assert isinstance(answer, dict)
    return answer


def test_an_outage_is_wished_seen_and_ended(orders: Callable[..., Any]) -> None:
    """Black while it lasts: nobody reads a meter; healed, everybody does, and the packets lost are counted."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders(link="ipsec", timing="modelled") as here:
            await here.ask("set-speed", speed=0)  # time passes only as far as a visit needs
            assert (await here.ask(READ, what="clock"))["answer"]["object"] == "0-0:1.0.0.255"
            before = await told(here)
            assert (before["kind"], before["black"], before["failures"]) == ("ipsec", False, [])
            assert before["crossed"]["down"]["delivered"] > 0
            failed = (await here.ask("fail-link", seconds=36_000))["answer"]
            assert failed["fault"] == "link-outage"
            during = await told(here)
            assert (during["black"], len(during["failures"])) == (True, 1)
            assert "error" in await here.ask(READ, what="clock")
            assert (await here.ask("heal-link"))["answer"]["cleared"] == 1
            after = await told(here)
            assert (after["black"], after["failures"]) == (False, [])
            assert (await here.ask(READ, what="clock"))["answer"]["object"] == "0-0:1.0.0.255"
            assert "expected float > 0" in (await here.ask("fail-link", seconds=-1))["error"]

    asyncio.run(body())


def test_gateways_die_and_the_link_is_cut_over(orders: Callable[..., Any]) -> None:
    """Each death makes another tunnel, also one that was ordered for later; after the cut-over there is none that could
    die, and a link that does not exist is named with those that do."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), orders(link="ipsec", timing="modelled") as here:
            await here.ask("set-speed", speed=0)
            await here.ask(READ, what="clock")
            spis = [tuple((await told(here))["cells"]["0"]["paths"][0]["spis"])]
            killed = (await here.ask("kill-gateway", seconds=1))["answer"]
            assert killed["kind"] == "ipsec"
            for order in ({}, {"seconds": 1, "after_s": 5, "end": "data-centre"}):
                if order:
                    assert "error" not in await here.ask("kill-gateway", **order)
                assert "error" not in await here.ask("step-clock", seconds=20)
                assert (await here.ask(READ, what="clock"))["answer"]["object"] == "0-0:1.0.0.255"
                spis.append(tuple((await told(here))["cells"]["0"]["paths"][0]["spis"]))
            assert len({one for pair in spis for one in pair}) == 6
            what = [one["what"] for one in (await told(here))["cells"]["0"]["told"]]
            assert [one for one in what if "dies" in one] == [
                "the gateway of the operator dies", "the gateway of the data-centre dies",
            ]  # fmt: skip
            wrong = await here.ask("cut-over", kind="pigeons")
            assert "pigeons" in wrong["error"]
            assert (await here.ask("cut-over", kind="mpls", after_s=10))["answer"]["kind"] == "ipsec"
            assert "error" not in await here.ask("step-clock", seconds=20)
            assert (await here.ask(READ, what="clock"))["answer"]["object"] == "0-0:1.0.0.255"
            after = await told(here)
            assert (after["kind"], after["cells"]["0"]["down"], after["cells"]["0"]["up"]) == ("mpls", "mpls", "mpls")
            assert "no IPsec gateway" in (await here.ask("kill-gateway"))["error"]

    asyncio.run(body())
