"""No key leaves by any door: every key of the estate is looked for in everything that was said."""

from collections.abc import Callable
from typing import Any

from emulator.control import names
from emulator.fleet.installation import KEYED

Visit = Callable[..., None]


def every_key(live: Any) -> set[bytes]:
    """The estate's own, those the old operator believes in, and those that are in the devices now."""
    estate, found = live.estate, set()
    for number in range(estate.installations):
        home = estate.installation(number)
        for spec in home.devices:
            if spec.kind in KEYED:
                keys = estate.keys(home, spec.kind)
                found |= {keys.ek, keys.ak, keys.kek}
        for device in estate.smso(home).devices:
            if device.keys is not None:
                found |= {device.keys.ek, device.keys.ak, device.keys.kek}
        for facts in live.keys(number):
            found |= {bytes.fromhex(facts[name]) for name in ("ek", "ak", "kek", "password") if facts.get(name)}
    return {key for key in found if key}


def test_no_key_and_no_token_in_any_answer_log_or_metric(site: Visit) -> None:
    """Keys changed, forced, refused and migrated; then the whole journal, every state, metrics and logs are searched
    for every key as raw bytes, hex in either case, and base64."""

    async def body(here: Any) -> None:
        said: list[str] = []

        async def ask(method: str, path: str, content: Any = None) -> None:
            answer = await here.http.request(method, path, json=content)
            said.append(f"{answer.headers} {answer.text}")

        before = every_key(here.live)
        await ask("POST", "/v1/installations/0/electricity/rotate-keys", {})
        between = every_key(here.live)
        await ask("POST", "/v1/take-snapshot", {"name": "a"})
        forced = {"fault": "forced-wrong-key", "settings": {"installation": 1}}
        await ask("POST", "/v1/inject-fault", forced)
        during = every_key(here.live)
        await ask("POST", "/v1/installations/1/electricity/read-object", {"what": "clock"})
        await ask("GET", "/v1/faults")
        await ask("POST", "/v1/migrate?wait=600", {})
        for number in range(here.live.estate.installations):
            await ask("GET", f"/v1/installations/{number}/state")
        for what in ("security", "association.management", "device-name"):
            for attribute in range(1, 9):
                wish = {"what": what, "attribute": attribute}
                await ask("POST", "/v1/installations/0/electricity/read-object", wish)
        for command in names.COMMANDS.values():
            if names.is_get(command) and command.scope == "estate":
                await ask("GET", names.path(command) + ("?task=1" if command.__name__ == "Task" else ""))
        await ask("GET", "/v1/journal?limit=10000")
        await ask("GET", "/metrics")
        await ask("GET", "/v1/journal/events?since=0&limit=300")
        await ask("GET", "/v1/nowhere?key=1")
        keys = before | between | during | every_key(here.live)
        assert len(keys) > 3 * 16
        said.append(here.logs.getvalue())
        text = "\n".join(said)
        assert "rotation.confirmed" in text
        assert "smets1_exchanges_total" in text
        lower = text.lower()
        for key in keys:
            assert key.hex() not in lower
            assert key not in text.encode("utf-8", "surrogateescape")
            assert repr(key)[2:-1] not in text
        assert here.token not in text

    site(body)
