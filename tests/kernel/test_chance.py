"""Chance: the published mixer, the same in Python and in the core."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.kernel.chance import between, bits, draw, mix, mix_slowly, place_key

WORDS = st.integers(0, (1 << 64) - 1)


def test_it_is_splitmix64() -> None:
    """The first numbers of SplitMix64 from state 0 (Steele, Lea and Flood; the values of the JDK's own generator)."""
    wanted = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [mix_slowly(0, step, 0) for step in (1, 2, 3)] == wanted
    assert [mix(0, step, 0) for step in (1, 2, 3)] == wanted


@given(WORDS, WORDS, WORDS)
def test_the_core_mixes_as_python_does(key: int, installation: int, number: int) -> None:
    assert mix(key, installation, number) == mix_slowly(key, installation, number)


@given(st.integers(), st.text(max_size=20), st.integers(-(1 << 40), 1 << 40), st.integers(-(1 << 60), 1 << 60))
def test_a_draw_is_a_function_of_its_question(seed: int, place: str, installation: int, number: int) -> None:
    asked = (seed, place, installation, number)
    assert bits(*asked) == bits(*asked)
    assert bits(*asked) == mix_slowly(place_key(seed, place), installation, number)
    assert 0 <= draw(*asked) < 1
    assert 3 <= between(3, 9, *asked) <= 9


@pytest.mark.parametrize("other", [(2, "a", 1, 1), (1, "b", 1, 1), (1, "a", 2, 1), (1, "a", 1, 2)])
def test_another_question_has_another_answer(other: tuple[int, str, int, int]) -> None:
    assert bits(*other) != bits(1, "a", 1, 1)
