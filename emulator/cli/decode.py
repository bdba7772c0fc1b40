"""`smets1 decode`: any frame as a tree, decrypted when given keys.

The dissector knows frames and no keys; the crypto room knows keys and no frames. They meet here, and only for the life
of one command: keys are taken from options, used, and never shown.
"""

import json
import re
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.dissect import Node, NotOpenedError, Opened, dissect
from emulator.codecs.esp import ESP
from emulator.codecs.glo import Ciphered, GeneralCiphered
from emulator.crypto import gcm
from emulator.errors import FrameError, InputError, TagError

_SEPARATORS: Final = re.compile(r"[\s:,_-]+|0[xX]")
_HEX: Final = re.compile(r"[0-9A-Fa-f]*\Z")
_DLMS_TAG: Final = 12
_ESP_TAG: Final = 16
_LARGEST: Final = 1 << 20


class Keys:
    """Keys from the command line, as the dissector's opener."""

    def __init__(
        self,
        ek: bytes | None,
        ak: bytes | None,
        dedicated: bytes | None,
        titles: tuple[bytes, ...],
        esp: tuple[bytes, ...],
    ) -> None:
        self._ek = ek
        self._ak = ak
        self._dedicated = dedicated
        self._titles = titles
        self._esp = esp

    def open_apdu(self, value: Ciphered | GeneralCiphered, title: bytes | None, dedicated: bool) -> Opened:
        """Tries the title the frame names, then those given. IV and AAD: DLMS UA 1000-2 9.2.3.3.7."""
        control = value.security_control
        key = self._dedicated if dedicated else self._ek
        if key is None:
            raise NotOpenedError(f"this needs {'--dk' if dedicated else '--ek'}")
        if control & 0x10 and self._ak is None:
            raise NotOpenedError("this is authenticated and needs --ak")
        titles = list(dict.fromkeys(one for one in (title, *self._titles) if one and len(one) == 8))
        if not titles:
            raise NotOpenedError("the sender's system title is not in the frame: give --title")
        for one in titles:
            iv = one + value.invocation_counter.to_bytes(4, "big")
            by = f"by {one.hex().upper()}"
            if control & 0x30 == 0x20:
                # Without a tag there is nothing to check: sealing again is the same key stream.
                plain = gcm.seal(key, iv, b"", value.text, _DLMS_TAG)[:-_DLMS_TAG]
                return Opened(plain, f"deciphered {by}; not authenticated, so not checked")
            assert self._ak is not None
            aad = bytes([control]) + self._ak
            text, body = value.text, b""
            if control & 0x30 == 0x10:
                if len(text) < _DLMS_TAG:
                    raise NotOpenedError("too short to hold a tag")
                body, text = text[:-_DLMS_TAG], text[-_DLMS_TAG:]
            if len(text) < _DLMS_TAG:
                raise NotOpenedError("too short to hold a tag")
            try:
                plain = gcm.open(key, iv, aad + body, text, _DLMS_TAG)
            except TagError:
                continue
            return Opened(body or plain, f"sealed {by}, tag checked")
        raise NotOpenedError("the tag does not hold: wrong key, wrong title, or changed bytes")

    def open_esp(self, value: ESP) -> Opened:
        """RFC 4106: nonce is salt and IV, AAD is SPI and sequence number. RFC 4303 2.4 for the trailer."""
        if not self._esp:
            raise NotOpenedError("this needs --esp-key")
        aad = struct.pack(">II", value.spi, value.sequence)
        for key in self._esp:
            try:
                plain = gcm.open(key[:-4], key[-4:] + value.iv, aad, value.text, _ESP_TAG)
            except TagError:
                continue
            if len(plain) < 2 or plain[-2] + 2 > len(plain):
                raise NotOpenedError("the tag holds and the ESP trailer does not")
            return Opened(plain[: -2 - plain[-2]], "tag checked", plain[-1])
        raise NotOpenedError("the tag does not hold: wrong key or changed bytes")


def _bytes_of(text: str, what: str) -> bytes:
    """Hex with the separators people leave in it. Raises InputError."""
    digits = _SEPARATORS.sub("", text)
    if not _HEX.match(digits):
        wrong = next(character for character in digits if not _HEX.match(character))
        raise InputError(f"{what}: {wrong!r} is no hex digit")
    if len(digits) % 2:
        raise InputError(f"{what}: {len(digits)} hex digits make no whole bytes")
    return bytes.fromhex(digits)


def _key(text: str | None, what: str, sizes: tuple[int, ...]) -> bytes | None:
    if text is None:
        return None
    try:
        key = _bytes_of(text, what)
    except InputError as error:
        raise InputError(f"{what}: not hex") from error  # the text is a key, and is not repeated
    if len(key) not in sizes:
        raise InputError(f"{what}: {len(key)} bytes; it has {' or '.join(map(str, sizes))}")
    return key


def _inputs(arguments: Iterable[str], lines: bool) -> list[bytes]:
    """The frames named on the command line: hex, `-` for stdin, @file. Raises InputError."""
    frames = []
    for argument in arguments:
        if argument == "-":
            text, what = sys.stdin.read(_LARGEST * 4), "stdin"
        elif argument.startswith("@"):
            what = argument[1:]
            try:
                with Path(what).open("rb") as file:
                    raw = file.read(_LARGEST * 4)
                text = raw.decode("ascii")
            except UnicodeDecodeError as error:
                raise InputError(f"{what}: not hex text") from error
            except OSError as error:
                raise InputError(f"{what}: {error.strerror}") from error
        else:
            text, what = argument, "HEX"
        parts = [(f"{what}, line {n}", line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        for place, part in parts if lines else [(what, text)]:
            frames.append(_bytes_of(part, place))
            if len(frames[-1]) > _LARGEST:
                raise InputError(f"{place}: more than {_LARGEST} bytes")
    return frames


def _tree(node: Node) -> Tree:
    line = Text(node.name, style="bold")
    if node.value:
        line.append(f"  {node.value}", style="cyan not bold")
    if node.meaning:
        line.append(f"  {node.meaning}", style="green not bold")
    tree = Tree(line)
    for child in node.children:
        tree.children.append(_tree(child))
    return tree


@click.command(name="decode")
@click.argument("hex_", metavar="HEX|-|@FILE", nargs=-1, required=True)
@click.option("--as", "kind", type=click.Choice(list(CATALOGUE)), metavar="NAME", help="Take it for this frame.")
@click.option("--ek", metavar="HEX", help="Global unicast encryption key, 16 bytes.")
@click.option("--ak", metavar="HEX", help="Authentication key, 16 bytes.")
@click.option("--dk", metavar="HEX", help="Dedicated key of the association, 16 bytes.")
@click.option("--title", "titles", metavar="HEX", multiple=True, help="System title of a sender, 8 bytes; repeatable.")
@click.option("--esp-key", "esp_keys", metavar="HEX", multiple=True, help="ESP key and salt, 20 bytes; repeatable.")
@click.option("--lines", is_flag=True, help="Every line of the input is a frame of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    hex_: tuple[str, ...],
    kind: str | None,
    ek: str | None,
    ak: str | None,
    dk: str | None,
    titles: tuple[str, ...],
    esp_keys: tuple[str, ...],
    lines: bool,
    as_json: bool,
) -> None:
    """Show frames as trees, decrypted when given keys.

    A frame is recognised by its first bytes: HDLC, IPv4, MPLS over IPv4, COSEM wrapper, any APDU, A-XDR data. ESP has
    no mark of its own: give it in its IPv4 packet, or with --as esp. Spaces, colons and dashes between digits do not
    matter.
    """
    keys = Keys(
        _key(ek, "--ek", (16, 32)),
        _key(ak, "--ak", (16, 32)),
        _key(dk, "--dk", (16, 32)),
        tuple(title for text in titles if (title := _key(text, "--title", (8,))) is not None),
        tuple(key for text in esp_keys if (key := _key(text, "--esp-key", (20, 36))) is not None),
    )
    try:
        nodes = [dissect(frame, kind=kind, opener=keys) for frame in _inputs(hex_, lines)]
    except FrameError as error:
        raise InputError(str(error)) from error
    if as_json:
        shown = [node.as_json() for node in nodes]
        click.echo(json.dumps(shown[0] if len(shown) == 1 and not lines else shown, indent=2))
        return
    # A terminal folds long lines inside the tree; a file or a pipe gets every line whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _LARGEST * 3)
    for node in nodes:
        console.print(_tree(node))
