"""`smets1 link`: the core link of a running server, and what the gateway at its other end is to be told.

`config`, which prints what a real gateway loads, and `picture`, which draws the six seconds, need no server. `status`,
`fail`, `heal`, `kill` and `cutover` ask a running one, and are the commands LinkStatus, FailLink, HealLink, KillGateway
and CutOver of every other door.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from emulator.cli.ask import carry_out
from emulator.cli.link_options import GATEWAY, PROOFS, timers
from emulator.commands import Command, CutOver, FailLink, HealLink, KillGateway, LinkStatus
from emulator.control import names
from emulator.errors import InputError
from emulator.files import write_text

PEERS: Final = ("strongswan", "labels", "tun")

_SERVER = (
    click.option("--url", envvar="SMETS1_URL", help="Where the server is: http://127.0.0.1:PORT. (SMETS1_URL)"),
    click.option("--token", envvar="SMETS1_TOKEN", help="Its token; in SMETS1_TOKEN no process list shows it."),
    click.option(
        "--token-file",
        envvar="SMETS1_TOKEN_FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file that holds the token. (SMETS1_TOKEN_FILE)",
    ),
)


_LATER: Final = "So many virtual seconds from now.  [default: at once]"


@click.group(short_help="the core link: what a real gateway loads; status, fail, heal, kill, cutover")
def command() -> None:
    """The core link of a running server, and the configuration of the real gateway at its other end."""


def _asked(name: str, kind: type[Command], parameters: list[click.Parameter], about: str) -> None:
    def callback(url: str | None, token: str | None, token_file: Path | None, **given: Any) -> None:
        context = {"url": url, "token": token, "token_file": token_file, "wait": None}
        said: dict[str, str | None]
        said = {field: value if isinstance(value, str) else json.dumps(value) for field, value in given.items()}
        carry_out(context, kind, names.path(kind), said)

    made = click.Command(name, callback=callback, params=parameters, help=about, short_help=about)
    for option in reversed(_SERVER):
        made = option(made)
    command.add_command(made)


_asked("status", LinkStatus, [], "How the link stands, and the tunnels from outside with their associations.")
_asked(
    "fail",
    FailLink,
    [click.Option(["--seconds"], type=click.FloatRange(0, min_open=True), default=6.0, show_default=True)],
    "Have the link black, from now on, for so many virtual seconds: gateways fall silent too.",
)
_asked("heal", HealLink, [], "End every failure of the link that was asked for.")
_asked(
    "kill",
    KillGateway,
    [
        click.Option(["--seconds"], type=click.FloatRange(0), default=2.0, show_default=True),
        click.Option(["--after", "after_s"], type=click.FloatRange(0), default=0.0, help=_LATER),
        click.Option(["--end"], type=click.Choice(["operator", "data-centre"]), default="operator", show_default=True),
    ],
    "Have an IPsec gateway die with all it knew, and be back after so many seconds: its peers have to find out.",
)
_asked(
    "cutover",
    CutOver,
    [
        click.Argument(["kind"], default="mpls"),
        click.Option(["--after", "after_s"], type=click.FloatRange(0), default=0.0, help=_LATER),
        click.Option(["--black", "black_s"], type=click.FloatRange(0), default=0.0, help="Break before make."),
    ],
    "Have everything cross another kind of link, and nothing be lost.",
)


@command.command(short_help="draw the six seconds as SVG")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there.  [default: stdout]")
def picture(out: Path | None) -> None:
    """Draw what arrives over the core link when it is away for six seconds, when a gateway dies, with a standby, and
    when it is cut over: six runs in virtual time, the same picture every time. Needs no server."""
    from emulator.link.picture import draw

    text = draw()
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(out)


def _gateway(function: Any) -> Any:
    for option in reversed((*GATEWAY, *PROOFS)):
        function = option(function)
    return function


@command.command(short_help="print what the gateway at the other end loads")
@click.option("--peer", type=click.Choice(PEERS), default="strongswan", show_default=True, help="What is to load it.")
@click.option("--estate", "source", default="demo-street", show_default=True, help="Name or file of an estate.")
@click.option("--installations", type=click.IntRange(1), help="Take so many homes of it, as `smets1 serve` does.")
@click.option("--device", default="smets1", show_default=True, help="Name of the TUN device, for --peer tun.")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write it to this folder, a pre-shared key in a file of its own; without it, print it, and no key.",
)
@_gateway
def config(
    peer: str,
    source: str,
    installations: int | None,
    device: str,
    folder: Path | None,
    ike_address: str | None,
    ike_port: int,
    natt_port: int,
    local_id: str,
    remote_id: str,
    dpd_delay: float,
    retransmit: float,
    users: str,
    mpls_address: str | None,
    mpls_port: int,
    mpls_peer: str,
    mpls_peer_port: int,
    psk_file: Path | None,
    cert_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Print a configuration that loads as it is: of strongSwan's charon; of another router of ours (static label
    tables); or the commands that lead a kernel's packets to a TUN device. Give it the options `smets1 serve` has.
    """
    from emulator.fleet.estate import open_estate
    from emulator.shell import peer_config

    homes = open_estate(source, None, installations).installations
    if peer != "strongswan" and (folder or psk_file or cert_file or ca_file):
        raise InputError("--write and the files with keys are for a peer with a key; strongswan has one")
    if peer == "labels":
        if mpls_peer_port != 6635:
            raise InputError("static label tables know RFC 7510's port 6635 alone; leave --mpls-peer-port away")
        click.echo(peer_config.label_tables(mpls_address or "127.0.0.1", mpls_port, mpls_peer, homes, users), nl=False)
        return
    if peer == "tun":
        click.echo(peer_config.tun(device, homes, users), nl=False)
        return
    if 0 in (ike_port, natt_port):
        raise InputError("a peer has to be told which ports; the ready line of `smets1 serve` names them")
    from emulator.shell.proofs import read_authorities, read_certificate, read_secret

    if cert_file is not None:
        read_certificate(cert_file, local_id)
    if ca_file is not None:
        read_authorities(ca_file)
    signs = cert_file is not None, ca_file is not None
    address = ike_address or "127.0.0.1"
    ends = peer_config.Ends(
        address, ike_port, natt_port, local_id, remote_id, users, homes, we_sign=signs[0], they_sign=signs[1]
    )
    text = peer_config.strongswan(ends, timers(dpd_delay, retransmit))
    if folder is None:
        click.echo(text, nl=False)
        return
    if psk_file is None and not all(signs):
        raise InputError("--write writes the key too; name the file that holds it with --psk-file")
    secret = None if psk_file is None or all(signs) else read_secret(psk_file)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("swanctl.conf", "strongswan.conf"):
        (folder / name).write_text(text, "utf-8")
        click.echo(folder / name)
    if secret is None:
        return
    hidden = folder / peer_config.SECRETS
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(peer_config.secrets(ends, secret))
    click.echo(hidden)
