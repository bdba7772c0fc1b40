"""Names of things: meter point numbers, serial numbers, system titles, EUI-64s.

Every generated number is a *bijection* of the home's number: an affine map whose factor shares no divisor with the
modulus. So numbers are unique across an estate by construction, look scattered, cost one multiplication, and need no
table of what is taken. Check digits are the public ones.

MPAN: 13 digits, the last is the sum of the first twelve weighted by the primes from 3 without 11, modulo 11 and 10.
MPRN: 6 to 10 digits, the last two are the sum of the others, weighted by their distance from these two, modulo 11.
"""

from collections.abc import Iterable
from math import gcd
from operator import mul
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.kernel import chance
from emulator.kernel.machine import Party

DISTRIBUTORS: Final[dict[str, str]] = {
    "eastern": "10",
    "east-midlands": "11",
    "london": "12",
    "merseyside-north-wales": "13",
    "west-midlands": "14",
    "north-east": "15",
    "north-west": "16",
    "north-scotland": "17",
    "south-scotland": "18",
    "south-east": "19",
    "southern": "20",
    "south-wales": "21",
    "south-west": "22",
    "yorkshire": "23",
}
"""Region to the distributor id an MPAN of that region begins with."""

REGIONS: Final = {distributor: region for region, distributor in DISTRIBUTORS.items()}

_PRIMES: Final = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
_ZERO: Final = ord("0")
_PRIMES_ZERO: Final = _ZERO * sum(_PRIMES)
_FALLING: Final = {length: tuple(range(length, 0, -1)) for length in range(4, 9)}
_FALLING_ZERO: Final = {length: _ZERO * sum(weights) for length, weights in _FALLING.items()}


def mpan_check_digit(twelve: str) -> str:
    """The check digit that belongs behind the first twelve digits of an MPAN."""
    return str((sum(map(mul, _PRIMES, twelve.encode())) - _PRIMES_ZERO) % 11 % 10)


def is_mpan(text: str) -> bool:
    """Thirteen digits, the last being the check digit of the others."""
    return len(text) == 13 and text.isascii() and text.isdigit() and mpan_check_digit(text[:12]) == text[12]


def mprn_check_digits(body: str) -> str:
    """The two check digits that belong behind the body (4 to 8 digits) of an MPRN."""
    length = len(body)
    return f"{(sum(map(mul, _FALLING[length], body.encode())) - _FALLING_ZERO[length]) % 11:02d}"


def is_mprn(text: str) -> bool:
    """Six to ten digits, the last two being the check digits of the others."""
    return 6 <= len(text) <= 10 and text.isascii() and text.isdigit() and mprn_check_digits(text[:-2]) == text[-2:]


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Scatter:
    """A bijection of [0, modulus): `factor` must share no divisor with `modulus`."""

    __slots__ = ("_factor", "_modulus", "_offset")

    def __init__(self, modulus: int, factor: int, offset: int) -> None:
        assert gcd(factor, modulus) == 1, f"{factor} and {modulus} share a divisor"
        self._modulus = modulus
        self._factor = factor
        self._offset = offset % modulus

    def __call__(self, number: int) -> int:
        return (number * self._factor + self._offset) % self._modulus


def scatter_for(count: int, seed: int, place: str, ratio: float) -> Scatter:
    """A bijection of [0, count), count > 0, whose step is about `ratio` of count: irrational ratios spread evenly."""
    factor = max(1, int(count * ratio))
    while gcd(factor, count) != 1:
        factor += 1
    return Scatter(count, factor, chance.bits(seed, place, 0))


_SERIAL_PREFIX: Final = {Party.HUB: "H", Party.ELECTRICITY: "E", Party.GAS: "G", Party.IHD: "D"}
_TITLE_SPAN: Final = 1 << 40
_MPAN_SPAN: Final = 10**10
_MPRN_SPAN: Final = 9 * 10**7
_SERIAL_SPAN: Final = 10**8

HOMES_MOST: Final = 10_000_000
"""The largest estate: nearly a tenth of the serial numbers, and well within all other spans."""


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class Numbers:
    """The numbers of one seed's estate. `flag` is three letters; `eui64_prefix` three bytes."""

    def __init__(self, seed: int, flag: str, eui64_prefix: bytes) -> None:
        self._flag = flag.encode("ascii")
        self._prefix = eui64_prefix
        assert len(self._flag) == 3
        assert len(self._prefix) == 3
        self._title = Scatter(_TITLE_SPAN, 0x9E3779B97F, chance.bits(seed, "identity.title", 0))
        self._eui = Scatter(_TITLE_SPAN, 0xD1B54A32D1, chance.bits(seed, "identity.eui64", 0))
        self._mpan = Scatter(_MPAN_SPAN, 6_180_339_887, chance.bits(seed, "identity.mpan", 0))
        self._mprn = Scatter(_MPRN_SPAN, 55_623_059, chance.bits(seed, "identity.mprn", 0))
        self._serial = Scatter(_SERIAL_SPAN, 61_803_399, chance.bits(seed, "identity.serial", 0))

    def mpan(self, number: int, distributor: str) -> str:
        """13 digits; unique over all regions of an estate."""
        twelve = f"{distributor}{self._mpan(number):010d}"
        return twelve + mpan_check_digit(twelve)

    def mprn(self, number: int) -> str:
        """10 digits, the first not 0."""
        body = str(10_000_000 + self._mprn(number))
        return body + mprn_check_digits(body)

    def devices(self, number: int, kinds: Iterable[Party]) -> list[tuple[str, bytes, bytes]]:
        """Serial number (a letter and eight digits), system title and EUI-64 of each device of a home."""
        digits = f"{self._serial(number):08d}"
        first = number * 4 - 1
        title, eui = self._title, self._eui
        return [
            (
                _SERIAL_PREFIX[kind] + digits,
                self._flag + title(first + kind).to_bytes(5, "big"),
                self._prefix + eui(first + kind).to_bytes(5, "big"),
            )
            for kind in kinds
        ]

    def eui64(self, number: int, kind: Party) -> bytes:
        """The prefix and five bytes."""
        return self._prefix + self._eui(number * 4 + kind - 1).to_bytes(5, "big")
