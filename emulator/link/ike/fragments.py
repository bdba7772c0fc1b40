"""IKE fragmentation (RFC 7383): one long message in several sealed pieces, each checked before it is kept."""

from emulator.codecs.ike_payloads import EncryptedFragment


class Pieces:
    """What has come of one message. A piece is given only after its check value held."""

    __slots__ = ("_first", "_held", "_most", "_total", "message_id")

    def __init__(self, message_id: int, most: int) -> None:
        self.message_id = message_id
        self._most = most
        self._total = 0
        self._first = 0
        self._held: dict[int, bytes] = {}

    def add(self, piece: EncryptedFragment, plain: bytes) -> tuple[int, bytes] | None:
        """(number of the first payload, whole plaintext) with the last piece; None until then.

        A message cut anew into more pieces replaces the old cut (RFC 7383 2.6); fewer are ignored.
        """
        if not 1 <= piece.number <= piece.total <= self._most or piece.total < self._total:
            return None
        if piece.total > self._total:
            self._total = piece.total
            self._held.clear()
        if piece.number == 1:
            self._first = piece.first
        self._held.setdefault(piece.number, plain)
        if len(self._held) < self._total:
            return None
        return self._first, b"".join(self._held[number] for number in range(1, self._total + 1))


def cut(plain: bytes, size: int) -> list[bytes]:
    """Pieces of at most `size` bytes; at least one."""
    return [plain[at : at + size] for at in range(0, len(plain), size)] or [b""]
