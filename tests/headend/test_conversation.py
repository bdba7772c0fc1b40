"""One conversation: patience, timers, and frames that come when nobody asked for them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import PressBoost
from emulator.headend.conversation import Conversation, Listen, Remark, Request, Rest, Script, Text
from emulator.headend.desk import Bell, Desk
from emulator.kernel.effects import ALERTS, SMS, WAN, Effects, Note, Send, Wake
from emulator.kernel.time import HOUR, SECOND

PATIENCE = 15 * SECOND
CLIENT, SERVER = 1, 2


def answer(payload: bytes = b"yes", source: int = SERVER, destination: int = CLIENT) -> bytes:
    return WRAPPER.build(Wrapper(source, destination, payload))


def ask(apdu: bytes = b"?", patience: int = PATIENCE, server: int = SERVER) -> Request:
    return Request(CLIENT, server, apdu, patience)


@dataclass
class Room:
    """A conversation with its surroundings: alerts heard, the end told, effects by kind."""

    alerts: list[bytes] = field(default_factory=list)
    ended: int = 0
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversation = Conversation(self._hear, self._finished)

    def _hear(self, frame: bytes, now: int) -> Note:
        self.alerts.append(frame)
        return Note("heard", (now,))

    def _finished(self) -> None:
        self.ended += 1

    def says(self, *asks: Any) -> Script:
        """A script that asks in turn and writes down what it was resumed with."""
        for each in asks:
            self.heard.append((yield each))


def sent(effects: Effects) -> list[tuple[str, bytes]]:
    return [(effect.port, effect.frame) for effect in effects if isinstance(effect, Send)]


def notes(effects: Effects) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, Note)]


def wakes(effects: Effects) -> list[int]:
    return [effect.at for effect in effects if isinstance(effect, Wake)]


def test_an_answer_resumes_the_script_with_its_apdu() -> None:
    """The request goes out in a wrapper frame; what comes back is taken out of its own."""
    room = Room()
    effects = room.conversation.run(room.says(ask(b"one"), ask(b"two")), 0)
    assert sent(effects) == [(WAN, WRAPPER.build(Wrapper(CLIENT, SERVER, b"one")))]
    effects = room.conversation.receive(WAN, answer(b"first"), SECOND)
    assert sent(effects) == [(WAN, WRAPPER.build(Wrapper(CLIENT, SERVER, b"two")))]
    assert room.conversation.running
    assert room.conversation.receive(WAN, answer(b"second"), 2 * SECOND) == []
    assert room.heard == [b"first", b"second"]
    assert room.ended == 1
    assert not room.conversation.running
    assert room.conversation.exchanges == 2


def test_texts_and_remarks_do_not_wait() -> None:
    """They come out in order, in one step with the first ask that waits."""
    room = Room()
    effects = room.conversation.run(room.says(Text(b"wake"), Remark(Note("said", (1,))), ask(b"")), 5)
    assert [type(effect) for effect in effects] == [Send, Note, Wake]
    assert sent(effects) == [(SMS, b"wake")]  # and nothing for an empty APDU: it only goes on listening
    assert room.heard == [None, None]


def test_fifty_brisk_requests_cost_two_timers() -> None:
    """A timer re-arms itself when it comes early, so a brisk exchange does not leave one behind for each request."""
    room = Room()
    outstanding = wakes(room.conversation.run(room.says(*(ask() for _ in range(50))), 0))
    armed = len(outstanding)
    now = 0
    while room.conversation.running:
        now += SECOND // 2
        while outstanding and outstanding[0] <= now:
            again = wakes(room.conversation.wake(outstanding.pop(0)))
            armed += len(again)
            outstanding += again
        outstanding += (more := wakes(room.conversation.receive(WAN, answer(), now)))
        armed += len(more)
        assert len(outstanding) <= 1
    assert room.heard == [b"yes"] * 50
    assert armed == 2  # 25 seconds of talk, 15 seconds of patience


@given(st.lists(st.tuples(st.integers(1, 40 * SECOND), st.one_of(st.none(), st.integers(0, 50 * SECOND))), min_size=1))
def test_patience_ends_to_the_microsecond(steps: list[tuple[int, int | None]]) -> None:
    """Whatever patience follows whatever other: an answer within it is taken, silence ends exactly when it runs out."""
    room = Room()
    times: list[int] = []

    def script() -> Script:
        for patience, _ in steps:
            heard = yield ask(patience=patience)
            times.append(room.conversation.now)
            room.heard.append(heard)

    now = 0
    queue = wakes(room.conversation.run(script(), now))
    armed = len(queue)
    wanted: list[tuple[int, bytes | None]] = []
    for patience, delay in steps:
        until = now + patience
        comes = now + delay if delay is not None and delay < patience else None
        while True:
            queue.sort()
            if comes is not None and (not queue or comes < queue[0]):
                now = comes
                more = wakes(room.conversation.receive(WAN, answer(b"x"), now))
                wanted.append((now, b"x"))
            else:
                before = len(room.heard)
                now = queue.pop(0)
                more = wakes(room.conversation.wake(now))
                if len(room.heard) > before:
                    wanted.append((until, None))
                    assert now == until
            queue += more
            armed += len(more)
            if len(room.heard) == len(wanted) and wanted and room.heard[-1] == wanted[-1][1] and times[-1] == now:
                break
    assert list(zip(times, room.heard, strict=True)) == wanted
    assert armed <= 2 * len(steps) + 1


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "headend.bad-frame"),
        (answer()[:-1], "headend.bad-frame"),
        (answer() + b"!", "headend.bad-frame"),
        (answer(source=3), "headend.unasked"),
        (answer(destination=16), "headend.unasked"),
    ],
)
def test_a_frame_that_is_not_the_answer_is_noted_and_the_question_stays(frame: bytes, kind: str) -> None:
    """Damaged frames and answers to somebody else do not resume the script, and patience goes on as it was."""
    room = Room()
    (at,) = wakes(room.conversation.run(room.says(ask()), 0))
    effects = room.conversation.receive(WAN, frame, SECOND)
    assert notes(effects) == [kind]
    assert len(effects) == 1
    assert room.heard == []
    room.conversation.receive(WAN, answer(b"true"), 2 * SECOND)
    assert room.heard == [b"true"]
    assert at == PATIENCE


def test_a_late_answer_is_noted_and_not_taken_for_the_next() -> None:
    """Patience ran out, and the next question goes to another device: the late answer is nobody's."""
    room = Room()
    room.conversation.run(room.says(ask(server=2), ask(server=3), Rest(HOUR)), 0)
    room.conversation.wake(PATIENCE)
    assert room.heard == [None]
    assert notes(room.conversation.receive(WAN, answer(source=2), PATIENCE + 1)) == ["headend.unasked"]
    room.conversation.receive(WAN, answer(b"three", source=3), PATIENCE + 2)
    assert notes(room.conversation.receive(WAN, answer(source=3), PATIENCE + 3)) == ["headend.unasked"]
    assert room.heard == [None, b"three"]
    assert room.conversation.exchanges == 3  # every frame on the WAN port is one, wanted or not


def test_an_alert_in_the_middle_of_a_request_is_heard_at_once_and_waits_for_who_listens() -> None:
    """It is opened when it comes, as it shares a counter with the answer behind it; Listen finds it there later."""
    room = Room()
    room.conversation.run(room.says(ask(), Listen(PATIENCE), Listen(PATIENCE)), 0)
    assert notes(room.conversation.receive(ALERTS, b"alert", SECOND)) == ["heard"]
    assert room.alerts == [b"alert"]
    assert room.heard == []
    room.conversation.receive(WAN, answer(), 2 * SECOND)
    assert room.heard == [b"yes", True]  # the first Listen did not wait, the second does
    room.conversation.wake(2 * SECOND + PATIENCE)
    assert room.heard == [b"yes", True, None]
    assert room.conversation.exchanges == 1  # an alert is no exchange


def test_an_alert_resumes_who_listens() -> None:
    """Listen waits for the alert port alone."""
    room = Room()
    room.conversation.run(room.says(Listen(PATIENCE)), 0)
    assert notes(room.conversation.receive(WAN, answer(), 1)) == ["headend.unasked"]
    effects = room.conversation.receive(ALERTS, b"alert", 2)
    assert notes(effects) == ["heard"]
    assert room.heard == [True]


def test_a_rest_ends_when_it_should_and_a_rest_in_the_past_at_once() -> None:
    """Rest is a deadline and nothing else; frames do not end it."""
    room = Room()
    assert wakes(room.conversation.run(room.says(Rest(HOUR), Rest(5)), 10)) == [HOUR]
    assert notes(room.conversation.receive(WAN, answer(), 20)) == ["headend.unasked"]
    assert wakes(room.conversation.wake(HOUR - 1)) == []
    assert wakes(room.conversation.wake(HOUR)) == [HOUR]
    assert room.conversation.wake(HOUR) == []
    assert room.heard == [None, None]
    assert room.ended == 1


def test_after_the_end_nothing_moves() -> None:
    """A wake left over does nothing; a frame is noted; a command is said to be none."""
    room = Room()
    assert room.conversation.run(room.says(), 0) == []
    assert room.ended == 1
    assert room.conversation.wake(HOUR) == []
    assert notes(room.conversation.receive(WAN, answer(), 1)) == ["headend.unasked"]
    assert notes(room.conversation.command(PressBoost(), 2)) == ["headend.command-ignored"]
    assert room.ended == 1


# The desk


@dataclass
class Clerk:
    """Begins the conversations it was given."""

    scripts: dict[int, Callable[[Room], Script]]
    room: Room = field(default_factory=Room)

    def begin(self, installation: int, now: int) -> tuple[Conversation, Effects] | None:
        script = self.scripts.pop(installation, None)
        if script is None:
            return None
        return self.room.conversation, self.room.conversation.run(script(self.room), now)


def test_the_desk_counts_the_exchanges_of_those_who_have_left() -> None:
    """While it runs a conversation is the machine; before and after a bell stands there, and counts what comes."""
    clerk = Clerk({4: lambda room: room.says(ask())})
    desk = Desk(clerk)
    assert isinstance(desk.machine(4), Bell)
    effects = desk.machine(4).wake(0)
    assert len(sent(effects)) == 1
    assert desk.machine(4) is clerk.room.conversation
    assert desk.open_conversations == 1
    desk.machine(4).receive(WAN, answer(), 1)
    desk.end(4)
    desk.end(4)  # harmless
    assert desk.exchanges == 1
    assert notes(desk.machine(4).receive(WAN, answer(), 2)) == ["headend.late"]
    assert notes(desk.machine(4).receive(ALERTS, b"", 3)) == ["headend.late"]
    assert desk.exchanges == 2
    assert desk.machine(4).wake(4) == ()
    assert desk.open_conversations == 0


def test_a_conversation_that_ends_at_once_is_never_at_the_desk() -> None:
    """Nothing asked, nothing kept."""
    desk = Desk(Clerk({4: lambda room: room.says(Remark(Note("said")))}))
    assert notes(desk.begin(4, 0)) == ["said"]
    assert isinstance(desk.machine(4), Bell)


def test_alerts_without_a_conversation_go_to_who_wants_them() -> None:
    """A caseworker with an ear hears them; answers that come late are none of its business."""

    class Listener(Clerk):
        def hear_alert(self, installation: int, frame: bytes, now: int) -> Note:
            return Note("kept", (installation, frame, now))

    desk = Desk(Listener({}))
    assert desk.machine(4).receive(ALERTS, b"alert", 3) == (Note("kept", (4, b"alert", 3)),)
    assert notes(desk.machine(4).receive(WAN, answer(), 4)) == ["headend.late"]
    assert desk.exchanges == 1
