"""A session: patience, repeats, and answers it does not believe."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator.codecs.axdr import unsigned
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Answer, Client, More, Refused
from emulator.errors import UsageError
from emulator.fleet.estate import open_estate
from emulator.fleet.installation import COUNTER_MAX, DeviceKeys
from emulator.headend.conversation import Request
from emulator.headend.keyring import HEAD_END_TITLE, Keyring, Patience
from emulator.headend.services import CLOCK, FIRST_READ, KEY_TRANSFER
from emulator.headend.session import DISBELIEVED, READ_TRIES, NoAnswerError, RefusedError, Session

SILENCE = None
YES = Answer(unsigned(1))


@dataclass
class Talker:
    """A client whose outcomes are told beforehand; every request it makes is another APDU."""

    outcomes: list[Any] = field(default_factory=list)
    made: int = 0
    heard: list[bytes] = field(default_factory=list)
    associated: bool = True
    store: Any = None
    context: Any = None

    def _make(self, *_: Any) -> bytes:
        self.made += 1
        return b"request %d" % self.made

    associate = get = get_list = set = action = release = _make

    def receive(self, apdu: bytes) -> Any:
        self.heard.append(apdu)
        return self.outcomes.pop(0)


def session_of(client: Any) -> Session:
    return Session(client, 1, 2, patience_us=10, first_patience_us=100, challenge=lambda: b"c" * 16)


def play(script: Generator[Any, Any, Any], answers: list[bytes | None]) -> tuple[Any, list[Request]]:
    """Run a part of a script against answers in turn; its value or error, and what it asked."""
    asked: list[Request] = []
    heard: Any = None
    try:
        while True:
            asked.append(script.send(heard))
            heard = answers.pop(0)
    except StopIteration as stop:
        value: Any = stop.value
    except (NoAnswerError, RefusedError, UsageError) as error:
        value = error
    assert not answers, "all answers were wanted"
    return value, asked


def test_a_read_is_repeated_as_a_new_request() -> None:
    """Each repeat is another request, under another counter; the third silence is believed."""
    client = Talker([YES])
    value, asked = play(session_of(client).get(CLOCK), [SILENCE, SILENCE, b"answer"])
    assert value == YES.value
    assert [each.apdu for each in asked] == [b"request 1", b"request 2", b"request 3"]
    client = Talker()
    value, asked = play(session_of(client).get(CLOCK), [SILENCE] * READ_TRIES)
    assert isinstance(value, NoAnswerError)
    assert client.made == READ_TRIES


@pytest.mark.parametrize("repeated", ["open", "get_list", "set"])
def test_what_may_be_done_twice_is_repeated(repeated: str) -> None:
    """Associations, lists and the same value written again."""
    client = Talker([Answer(None) if repeated != "get_list" else Answer((unsigned(1), unsigned(2)))])
    session = session_of(client)
    parts = {"open": session.open, "get_list": lambda: session.get_list((CLOCK, CLOCK)),
             "set": lambda: session.set(CLOCK, unsigned(1))}  # fmt: skip
    value, asked = play(parts[repeated](), [SILENCE, b"answer"])
    assert not isinstance(value, Exception)
    assert len(asked) == client.made == 2


def test_an_action_is_never_repeated() -> None:
    """Whether it took effect is a question for whoever asked."""
    client = Talker()
    value, asked = play(session_of(client).action(KEY_TRANSFER, unsigned(0)), [SILENCE])
    assert isinstance(value, NoAnswerError)
    assert len(asked) == 1


def test_the_first_answer_may_take_longer_and_so_may_the_one_after_a_silence() -> None:
    """A sleepy device hears at its poll; once heard it is awake, after a silence nobody knows."""
    client = Talker([YES, YES, YES])
    session = session_of(client)
    _, first = play(session.get(CLOCK), [b"a"])
    _, second = play(session.get(CLOCK), [SILENCE, b"b"])
    _, third = play(session.get(CLOCK), [b"c"])
    assert [each.patience_us for each in first + second + third] == [100, 10, 100, 10]
    client.outcomes = [Answer(None), YES]
    play(session.close(), [b"released"])
    _, fourth = play(session.get(CLOCK), [b"d"])
    assert fourth[0].patience_us == 100


@pytest.mark.parametrize("reason", sorted(DISBELIEVED))
def test_an_answer_we_do_not_believe_leaves_the_question_open(reason: str) -> None:
    """The true answer may still come, and is taken; nothing is sent meanwhile."""
    client = Talker([Refused(reason, "forged"), YES])
    value, asked = play(session_of(client).get(CLOCK), [b"forged", b"true"])
    assert value == YES.value
    assert [each.apdu for each in asked] == [b"request 1", b""]
    assert client.heard == [b"forged", b"true"]


@pytest.mark.parametrize("reason", sorted(DISBELIEVED))
def test_when_no_true_answer_comes_it_is_asked_again_and_then_reported(reason: str) -> None:
    """A read is repeated as after silence; in the end the last disbelief says more than silence does."""
    client = Talker([Refused(reason, "one"), Refused(reason, "two"), YES])
    value, asked = play(session_of(client).get(CLOCK), [b"late", b"late too", SILENCE, b"true"])
    assert value == YES.value
    assert [each.apdu for each in asked] == [b"request 1", b"", b"", b"request 2"]
    client = Talker([Refused(reason, number) for number in range(READ_TRIES)])
    value, asked = play(session_of(client).get(CLOCK), [b"forged", SILENCE] * READ_TRIES)
    assert isinstance(value, RefusedError)
    assert (value.reason, value.detail) == (reason, READ_TRIES - 1)
    assert client.made == READ_TRIES


def test_an_action_with_a_late_answer_is_not_repeated_either() -> None:
    """The disbelief is the report at once."""
    client = Talker([Refused("unexpected", "another invoke id")])
    value, _ = play(session_of(client).action(KEY_TRANSFER, unsigned(0)), [b"late", SILENCE])
    assert (value.reason, client.made) == ("unexpected", 1)


@pytest.mark.parametrize("reason", ["access", "action", "exception", "association", "invocation-counter", "initiate"])
def test_what_the_device_refuses_is_refused(reason: str) -> None:
    """A refusal of the device's own ends the question at once."""
    client = Talker([Refused(reason, 3)])
    value, asked = play(session_of(client).get(CLOCK), [b"no"])
    assert (value.reason, value.detail) == (reason, 3)
    assert len(asked) == 1


def test_blocks_and_passes_are_gone_through_and_begin_anew_after_a_loss() -> None:
    """A question of several rounds whose middle is lost is asked from its beginning."""
    client = Talker([More(b"next 2"), More(b"next 2"), More(b"next 3"), YES])
    value, asked = play(session_of(client).get(CLOCK), [b"1", SILENCE, b"1", b"2", b"3"])
    assert value == YES.value
    assert [each.apdu for each in asked] == [b"request 1", b"next 2", b"request 2", b"next 2", b"next 3"]


def test_a_list_with_a_refusal_in_it_is_refused() -> None:
    """The first item that is not given is the reason."""
    client = Talker([Answer((unsigned(1), 3, 4))])
    value, _ = play(session_of(client).get_list((CLOCK, CLOCK, CLOCK)), [b"list"])
    assert (value.reason, value.detail) == ("access", 3)


@pytest.mark.parametrize("outcome", [None, Refused("exception", 2)])
def test_leaving_never_fails(outcome: Refused | None) -> None:
    """A device that does not answer a release, or refuses it, has forgotten the association or will."""
    client = Talker([outcome] if outcome else [])
    value, asked = play(session_of(client).close(), [b"no" if outcome else None])
    assert value is None
    assert len(asked) == 1
    assert not client.associated


# Counters and keys, on a real store


@pytest.fixture
def real() -> tuple[Session, ContextStore]:
    store = ContextStore(2)
    store.load(0, ek=b"e" * 16, ak=b"a" * 16, title=HEAD_END_TITLE, peer=b"METER001", tx=50, rx=20)
    return session_of(Client(store, 0, MANAGEMENT)), store


def test_the_send_counter_only_rises(real: tuple[Session, ContextStore]) -> None:
    """Under whatever keys: a lower wish is ignored, a higher one taken, the end refused."""
    session, store = real
    assert session.raise_counter(10)
    assert store.counters(0)[0] == 50
    assert session.raise_counter(70)
    session.use(DeviceKeys(b"E" * 16, b"A" * 16, None))
    assert store.counters(0) == (70, 20)
    lowest = session.begin_with(DeviceKeys(b"F" * 16, b"A" * 16, None))
    assert lowest == 20
    assert store.counters(0) == (70, 0)  # nothing was ever accepted under these
    session.back_to(DeviceKeys(b"E" * 16, b"A" * 16, None), lowest)
    assert store.counters(0) == (70, 20)
    assert session.raise_counter(60)
    assert store.counters(0)[0] == 70
    assert not session.raise_counter(COUNTER_MAX)


def test_counters_that_run_out_in_the_middle_are_a_refusal(real: tuple[Session, ContextStore]) -> None:
    """The last counter is never used twice and never used up with a crash."""
    session, store = real
    assert session.raise_counter(COUNTER_MAX - 1)
    first, _ = play(session.action(KEY_TRANSFER, unsigned(0)), [SILENCE])
    assert isinstance(first, NoAnswerError)
    assert store.counters(0)[0] == COUNTER_MAX
    for part in (session.open(), session.get(FIRST_READ), session.action(KEY_TRANSFER, unsigned(0))):
        value, asked = play(part, [])
        assert (value.reason, value.detail) == ("counter", COUNTER_MAX)
        assert asked == []
    assert play(session.close(), [])[0] is None


def test_challenges_and_contexts_are_a_devices_own() -> None:
    """Every device of a home has its own context, and no challenge comes twice."""
    estate = open_estate("demo-street")
    keyring = Keyring(b"secret", range(16), Patience())
    homes = [keyring.targets(estate.smso(estate.installation(number))) for number in (0, 1)]
    contexts = [target.session.client.context for home in homes for target in home]
    assert len(set(contexts)) == len(contexts) == 5
    seen = set()
    for target in homes[0]:
        for _ in range(3):
            seen.add(target.session._challenge())  # type: ignore[misc]
            assert target.session.raise_counter(keyring.store.counters(target.session.client.context or 0)[0] + 1)
    assert len(seen) == 9
    gas = homes[0][2].session
    assert gas._first_patience_us > 1_800_000_000 > gas._patience_us  # a poll of the sleepy meter
