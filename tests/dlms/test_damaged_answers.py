"""Answers damaged on their way: whatever bit is turned, the client says what it makes of it and never fails."""

import pytest
from dlms_bench_meter import CLOCK, CTOS, Meter

from emulator.codecs.get import AttributeRef
from emulator.dlms.client import Answer, More, Outcome, Refused


def bent(frame: bytes) -> list[bytes]:
    """The frame with each of its bits turned."""
    found = []
    for place in range(8 * len(frame)):
        data = bytearray(frame)
        data[place // 8] ^= 1 << place % 8
        found.append(bytes(data))
    return found


@pytest.mark.parametrize("step", ["associate", "read", "release"])
def test_every_turned_bit_of_an_answer_is_taken_for_what_it_is(step: str) -> None:
    """An association, a read and a release under keys: each bit in turn, each against a meter of its own."""
    apdu = b""

    def ask(head_end: object, damage: int | None) -> tuple[int, Outcome]:
        nonlocal apdu
        client = head_end.client  # type: ignore[attr-defined]
        if step == "associate":
            apdu = client.associate(CTOS)
        else:
            head_end.open()  # type: ignore[attr-defined]
            apdu = client.get(AttributeRef(8, CLOCK, 2)) if step == "read" else client.release()
        answer = head_end.say(apdu)  # type: ignore[attr-defined]
        assert answer is not None
        return len(answer), client.receive(answer if damage is None else bent(answer)[damage])

    length, sound = ask(Meter().client(), None)
    assert isinstance(sound, More if step == "associate" else Answer)
    refused = 0
    for damage in range(8 * length):
        _, outcome = ask(Meter().client(), damage)
        assert isinstance(outcome, Answer | More | Refused), damage
        refused += isinstance(outcome, Refused)
    assert refused > 0.8 * 8 * length * (0.5 if step == "associate" else 1)  # a challenge may be any bytes
