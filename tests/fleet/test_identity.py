"""Numbers of homes and devices: check digits, and uniqueness by construction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.fleet import identity
from emulator.kernel.machine import Party

KINDS = list(Party)[1:]


@pytest.mark.parametrize("mprn", ["3938424403"])
def test_published_mprn_is_accepted(mprn: str) -> None:
    """A meter point number printed with the public description of its check digits passes."""
    assert identity.is_mprn(mprn)


@pytest.mark.parametrize("mpan", ["2000050773706", "1012345678903"])
def test_mpan_check_digit_follows_the_primes(mpan: str) -> None:
    """The last digit is the prime-weighted sum of the others, worked out here the long way."""
    total = sum(
        int(digit) * prime for digit, prime in zip(mpan, (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43), strict=False)
    )
    assert identity.is_mpan(mpan[:12] + str(total % 11 % 10))


@given(st.integers(0, 10_000_000 * 2 - 1), st.integers(0, 2**63 - 1))
def test_generated_meter_points_carry_their_check_digits(number: int, seed: int) -> None:
    """Any home of any seed: its MPAN and MPRN are valid, and one changed digit of the MPRN makes it invalid."""
    numbers = identity.Numbers(seed, "ELS", b"\x0aSQ")
    mpan, mprn = numbers.mpan(number, "20"), numbers.mprn(number)
    assert identity.is_mpan(mpan)
    assert mpan.startswith("20")
    assert identity.is_mprn(mprn)
    assert len(mprn) == 10
    wrong = str((int(mprn[0]) + 1) % 10) + mprn[1:]
    assert not identity.is_mprn(wrong)


@pytest.mark.parametrize("text", ["", "12", "12345678901234", "20000507737o6", "٢٠٠٠٠٥٠٧٧٣٧٠٦", " 2000050773706"])
def test_other_text_is_no_mpan(text: str) -> None:
    """Wrong length, letters, digits of other scripts, blanks."""
    assert not identity.is_mpan(text)


@given(st.integers(1, 5_000), st.integers(0, 2**63 - 1))
def test_scatter_is_a_bijection(count: int, seed: int) -> None:
    """Every number of the range is hit exactly once, for any count."""
    scatter = identity.scatter_for(count, seed, "anywhere", 0.618)
    assert sorted(map(scatter, range(count))) == list(range(count))


def test_names_of_devices_are_unique() -> None:
    """No serial, system title or EUI-64 comes twice among 20,000 homes, the last possible ones included."""
    numbers = identity.Numbers(7, "ELS", b"\x0aSQ")
    homes = [*range(10_000), *range(2 * identity.HOMES_MOST - 10_000, 2 * identity.HOMES_MOST)]
    every = [names for home in homes for names in numbers.devices(home, KINDS)]
    for column in zip(*every, strict=True):
        assert len(set(column)) == len(homes) * len(KINDS)
    assert {len(title) for _, title, _ in every} == {8}
    assert all(title.startswith(b"ELS") for _, title, _ in every)


def test_a_lone_eui64_is_that_of_the_device() -> None:
    """The inventory's way to ask for a hub's EUI-64 gives what the hub carries."""
    numbers = identity.Numbers(7, "ELS", b"\x0aSQ")
    assert numbers.eui64(41, Party.HUB) == numbers.devices(41, KINDS)[0][2]
