"""What a client needs to talk to the devices of a home: addresses, titles, keys and where its counter stands.

Read from the context store at the moment it is asked for, so it is also true right after a change of keys. These are
test keys; still they go to whoever asks for them by name, and to no log.
"""

from typing import Any, Final

from emulator.crypto.layout import LINE, LINE_BYTES
from emulator.fleet import registry
from emulator.fleet.installation import KEYED, DeviceSpec
from emulator.headend.services import INVOCATION_COUNTER
from emulator.shell.live_cell import LiveCell

_OF_KEYED: Final = (
    *("host", "port", "transport", "client_sap", "server_sap", "public_sap", "mechanism", "policy", "password"),
    *("client_system_title", "server_system_title", "ek", "ak", "kek", "invocation_counter"),
)
"""What a device with keys has and a display has not."""

_NAMED: Final = ".".join(str(byte) for byte in INVOCATION_COUNTER.logical_name)


def devices(cell: LiveCell, installation: int, host: str, port: int) -> list[dict[str, Any]]:
    """One object a device, in the order hub, electricity, gas, display."""
    home = cell.estate.installation(installation)
    return [_facts(cell, installation, spec, host, port) for spec in home.devices]


def _facts(cell: LiveCell, installation: int, spec: DeviceSpec, host: str, port: int) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": spec.kind.name.lower(), "model": spec.model}
    if spec.kind not in KEYED:
        return found | dict.fromkeys(_OF_KEYED) | {"keys": "none"}
    profile = registry.model(spec.model).profile
    security, addressing = profile.security, profile.addressing
    index = cell.ensure_keys(installation, spec.kind)
    raw = cell.store.export(index)
    try:
        ek, ak, title, _, lowest, _, _, _, _, peer = LINE.unpack(raw[:LINE_BYTES])
        master = raw[LINE_BYTES:].hex() if cell.store.state(index).has_master else None
    finally:
        raw[:] = bytes(len(raw))
    password = None
    if security.mechanism == "low":
        password = bytes(getattr(cell.machine(installation, spec.kind), "password")).hex()  # noqa: B009
    return found | {
        "host": host,
        "port": port,
        "transport": "tcp",
        "client_sap": addressing.management,
        "server_sap": addressing.sap,
        "public_sap": addressing.public,
        "mechanism": security.mechanism,
        "policy": security.policy,
        "password": password,
        "client_system_title": peer.hex(),
        "server_system_title": title.hex(),
        "ek": ek.hex(),
        "ak": ak.hex(),
        "kek": master,
        "invocation_counter": {"logical_name": _NAMED, "value": lowest},
    }
