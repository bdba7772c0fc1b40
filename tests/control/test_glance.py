"""The estate drawn small says what the long answers say."""

from typing import Any

from emulator.commands import Command, Course, FailLink, Glance, HealLink, Ledger, Migrate, RotateKeys, State, Status
from emulator.control.desk import Desk
from emulator.control.dispatch import Order, carry_out
from emulator.control.glance import CourseView, GlanceView
from emulator.control.tasks import Task
from emulator.fleet.estate import open_estate
from emulator.headend.keeper import Hierarchy, Stage
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate
from emulator.shell.pace import Pace


def desk_of(source: str = "demo-street", installations: int | None = None) -> Desk:
    live = LiveEstate(open_estate(source, 1, installations), timing="instant")
    return Desk(live, Pace(live, speed=0))


def ask(desk: Desk, command: Command, installation: int | None = None, party: Party | None = None) -> Any:
    """The answer, when it takes time too."""
    answer = carry_out(desk, Order(command, installation, party))
    if isinstance(answer, Task):
        for _ in answer.drive or ():
            pass
        assert answer.state == "done", answer.error
        return answer.answer
    return answer


def test_an_untouched_estate_is_asleep_as_handed_over_and_makes_no_cell() -> None:
    """Every home is pending, asleep and of generation 0, and looking costs no cell its making."""
    desk = desk_of("mds-cohort")
    seen: GlanceView = ask(desk, Glance())
    assert seen.verdicts == {"pending": 141_372, "migrated": 0, "failed": 0, "unrecoverable": 0}
    assert seen.activity == {"asleep": 141_372, "awake": 0, "talking": 0}
    assert seen.keys.generations == {0: 141_372}
    assert sum(cell.homes for cell in seen.cells) == 141_372
    assert not seen.homes
    assert not desk.live.cells
    course: CourseView = ask(desk, Course())
    assert (course.at, course.migrated, course.task) == ([], [], None)


def test_a_campaign_is_summed_up_as_the_ledger_does() -> None:
    """After a migration the dots, the cells, the course's last points and the ledger agree, and so do generations."""
    desk = desk_of()
    ask(desk, Migrate())
    seen, course, ledger = ask(desk, Glance()), ask(desk, Course(points=50)), ask(desk, Ledger())
    for verdict in ("migrated", "failed", "unrecoverable"):
        count = ledger.verdicts[verdict]
        assert seen.verdicts[verdict] == count
        assert sum(getattr(cell, verdict) for cell in seen.cells) == count
        assert getattr(course, verdict)[-1] == count
    assert [each.verdict for each in seen.homes] == [line.verdict for line in ledger.lines]
    assert seen.verdicts["migrated"] > 3
    assert {cause: counts[-1] for cause, counts in course.by_cause.items()} == ledger.by_cause
    assert set(course.causes) == set(course.by_cause)
    assert course.at == sorted(course.at)
    assert len(course.at) == 50
    for counts in (course.migrated, course.failed, *course.by_cause.values()):
        assert counts == sorted(counts)
    migrated = {each.installation for each in seen.homes if each.verdict == "migrated"}
    assert {each.installation for each in seen.homes if each.generation} >= migrated
    assert sum(seen.keys.generations.values()) == 16
    assert seen.alerts.arrived > 0
    assert seen.link["down"].delivered == ask(desk, Status()).link["down"]["delivered"]


def test_a_rotation_of_one_device_moves_its_home_to_the_next_generation() -> None:
    """One home changes, no other, and nothing is in doubt afterwards."""
    desk = desk_of()
    ask(desk, RotateKeys(), 0, Party.GAS)
    seen = ask(desk, Glance())
    assert [each.installation for each in seen.homes if each.generation == 1] == [0]
    assert (seen.keys.generations, seen.keys.doubt) == ({0: 15, 1: 1}, 0)
    gas = next(each for each in ask(desk, State(), 0).devices if each.kind == "gas")
    assert gas.keys.data_generation == 1


def test_a_black_link_and_a_change_in_doubt_are_shown() -> None:
    """A black link is shown at its cell, and what it took by cause; a change of keys that was sent and never confirmed
    puts its home in doubt."""
    desk = desk_of()
    ask(desk, State(), 0)
    ask(desk, FailLink(seconds=30 * 86_400))
    task: Task[Any] = carry_out(desk, Order(RotateKeys(), 0, Party.GAS))
    for _ in task.drive or ():
        pass
    assert task.state == "failed"
    seen = ask(desk, Glance())
    assert seen.cells[0].black
    assert seen.link["down"].lost_by.get("outage", 0) + seen.link["up"].lost_by.get("outage", 0) > 0
    ask(desk, HealLink())
    assert not ask(desk, Glance()).cells[0].black
    data = desk.head_end(0).keyring.keeper.custody(0, Party.GAS, Hierarchy.DATA)
    data.record()
    data.move(Stage.SENT)
    seen = ask(desk, Glance())
    assert (seen.keys.doubt, seen.keys.doubtful, seen.homes[0].doubt) == (1, [0], True)
