"""`smets1 diagnose`: can this meter be saved, and by which commands?

Of a state that a server keeps or kept (`--state`), read without running it; or of an estate as its recipe has it, where
faults are put in force first and the keys of the device are changed under them (`--fault`, `--rotate`), so that the
whole story of a lost meter is one line. `--heal` carries the way back out there, over the air. A running server is
asked by `smets1 ask diagnose` and `smets1 ask heal`.

Exit code 0: every device asked about is healthy or was healed; 1: one is not.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from emulator.errors import EmulatorError, InputError

if TYPE_CHECKING:
    from emulator.oracle.observe import Diagnosis

_DEVICES = ("hub", "electricity", "gas")


@click.command(short_help="can a meter be saved, and by which commands")
@click.option("--estate", "source", help="Name or file of an estate.  [default: demo-street, or the state's]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of everything.  [default: the estate's]")
@click.option("--installation", required=True, help="Its number, or its owner's name for it.")
@click.option("--device", type=click.Choice(_DEVICES), help="Only this one.  [default: all that hold keys]")
@click.option("--state", help="Folder or postgresql:// address that was given to `serve --state`.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="'NAME field=value ...'",
    help="A fault in force while keys are changed; may be given several times. See `smets1 faults`.",
)
@click.option(
    "--rotate",
    type=click.IntRange(0, 100),
    help="Change the keys so often first, whatever comes of it.  [default: once where a fault is given]",
)
@click.option("--heal", is_flag=True, help="Then heal it over the air, and look again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def command(
    source: str | None,
    seed: int | None,
    installation: str,
    device: str | None,
    state: str | None,
    faults: tuple[str, ...],
    rotate: int | None,
    heal: bool,
    as_json: bool,
) -> None:
    """Say whether the devices of an installation can be saved: healthy, recoverable (with the shortest sequence of
    commands), reads-only or unrecoverable (with the reason, and what a field engineer must do).

    \b
    smets1 diagnose --installation 3 --device electricity --fault 'key-change-answer-lost keys=kek times=1' --heal
    smets1 diagnose --installation 3 --state ./state
    """
    if state is not None:
        if faults or rotate or heal:
            raise InputError(
                "a kept state is only looked at; leave --fault, --rotate and --heal out, or serve it and ask "
                "(`smets1 ask inject-fault`, `smets1 ask heal`)"
            )
        told = [{"diagnosis": each} for each in _kept(state, source, seed, installation, device)]
    else:
        once = 1 if faults else 0
        told = _played(source, seed, installation, device, faults, once if rotate is None else rotate, heal)
    _tell(told, as_json)
    well = all(str((each.get("after") or each["diagnosis"]).kind) == "healthy" for each in told)
    sys.exit(0 if well else 1)


def _tell(told: list[dict[str, Any]], as_json: bool) -> None:
    from emulator.control.dispatch import plain
    from emulator.control.oracle import view

    if as_json:
        body = []
        for each in told:
            found = {"diagnosis": plain(view(each["diagnosis"]))}
            if "after" in each:
                found |= {"healed": plain(each["healed"]), "after": plain(view(each["after"]))}
            body.append(found)
        click.echo(json.dumps(body, indent=2))
        return
    for each in told:
        click.echo(str(each["diagnosis"]))
        if "after" in each:
            healed = each["healed"]
            click.echo("  healed, and shown to be" if healed.healed else f"  not healed: {healed.stopped}")
            if healed.healed:
                click.echo(str(each["after"]))


def _played(
    source: str | None,
    seed: int | None,
    installation: str,
    device: str | None,
    faults: tuple[str, ...],
    rotate: int,
    heal: bool,
) -> list[dict[str, Any]]:
    """Of an estate in virtual time, made for this."""
    from emulator.faults import texts
    from emulator.fleet.recipe import DEVICE_NAMES
    from emulator.scenario.playground import Playground

    world = Playground(source or "demo-street", seed=seed)
    home = world.home(int(installation) if installation.isdecimal() else installation)
    parties = [DEVICE_NAMES[name] for name in _of(home.installation, device)]
    injected = [world.inject(texts.parse(each), may_stay_quiet=True) for each in faults]
    for _ in range(rotate):
        for party in parties:
            try:
                home.device(party).rotate_keys()
            except EmulatorError:
                world.run_for(minutes=20)
    for each in injected:
        if rotate and not each.fired:
            raise InputError(
                f"fault {each.fault.name} never struck; look at its fields with `smets1 faults {each.fault.name}`"
            )
        each.clear()
    told: list[dict[str, Any]] = []
    for party in parties:
        handle = home.device(party)
        found: dict[str, Any] = {"diagnosis": handle.diagnose()}
        if heal and found["diagnosis"].way:
            found |= {"healed": handle.heal(), "after": handle.diagnose()}
        told.append(found)
    return told


def _kept(state: str, source: str | None, seed: int | None, installation: str, device: str | None) -> "list[Diagnosis]":
    """Of a state, looked at as it was left."""
    from emulator.control.headend import HeadEnd
    from emulator.fleet.estate import open_estate
    from emulator.fleet.recipe import DEVICE_NAMES
    from emulator.fleet.store import Identity, look
    from emulator.oracle.observe import diagnose
    from emulator.shell.live import LiveEstate
    from emulator.shell.serving import FACT

    store = look(state)
    try:
        identity = store.identity
        served = json.loads(store.get(FACT) or b"{}")
        estate = open_estate(
            source or served.get("estate") or identity.estate,
            identity.seed if seed is None else seed,
            identity.installations,
        )
        Identity.of(estate).check(identity, store.where)
        number = int(installation) if installation.isdecimal() else estate.find(installation)
        if number >= estate.installations:
            raise InputError(
                f"estate {estate.name} has no installation {number}; it has {estate.installations}, numbered from 0"
            )
        live = LiveEstate(estate, store=store)
        head_end = HeadEnd(live.cell(number))
        if kept := live.kept.get(number):
            head_end.recall(number, kept)
        names = _of(estate.installation(number), device)
        return [diagnose(head_end.cell, head_end.keyring, number, DEVICE_NAMES[name], live.now) for name in names]
    finally:
        store.close()


def _of(home: Any, device: str | None) -> list[str]:
    """The devices to be asked about. Raises InputError for one the home does not have."""
    has = [spec.kind.name.lower() for spec in home.devices if spec.kind.name.lower() in _DEVICES]
    if device is None:
        return has
    if device not in has:
        raise InputError(f"installation {home.number} has no {device}; it has {', '.join(has)}")
    return [device]
