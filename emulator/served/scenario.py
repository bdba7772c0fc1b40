"""A scenario on a served estate: the same file, driven over HTTP as any other program would.

The estate is served in a process of its own, its clock standing: time passes when it is stepped, and as far as what is
asked over the air needs. Faults are injected, homes migrated, keys changed, requests made, faults cleared, all by the
commands of the control surface; verdicts are read from the ledger, strikes from the table of faults, standing checks
are asked for. Then the same checks decide.

What differs from virtual time: a migration goes on with the next home when one ends and not by the day's plan, so homes
start at other instants; settings that only a campaign in virtual time has (pace, policies) cannot be chosen.
What a served estate cannot be asked is refused before anything starts, and named. What the oracle says and how homes
were heated is asked for by `diagnose` and `heating`, so checks of both, and healing by the oracle, are the same here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from emulator import commands
from emulator.control.names import path as path_of
from emulator.dcc.auxiliary_harm import SwitchHarm
from emulator.dcc.verdict import Verdict
from emulator.errors import EmulatorError, InputError
from emulator.fleet import listing
from emulator.fleet.estate import locate
from emulator.fleet.installation import KEYED
from emulator.fleet.recipe import DEVICE_NAMES
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.time import DAY, SECOND
from emulator.oracle.verdict import Class
from emulator.scenario import checks_table, emit, estate_use
from emulator.scenario.facts import Diagnosed, Facts, Finding, HomeEnd, Moment
from emulator.scenario.reading import Read
from emulator.scenario.report import Report
from emulator.scenario.scenario import (
    Campaign,
    CutOver,
    Evening,
    Migrate,
    Pass,
    Requests,
    Rotate,
    Step,
    Wish,
)
from emulator.scenario.virtual import asks_harm, host_options, of_day, to_diagnose
from emulator.scenario.wishes import HEAL, ROTATE
from emulator.served.client import ServerError
from emulator.served.faults import ServedFault
from emulator.served.process import ServedEstate
from emulator.served.world import ServedWorld

_PAGE: Final = 1_000
_AUXILIARY: Final = ("core_release", "hypothesis", "reset_to")
_AUDITED: Final = {"no": None, "yes": True, "astray": False}

Try = Callable[[], Any]
SWITCHES_MOST: Final = 5
TASK_S: Final = 600.0
LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Post:
    """One thing to ask of a home: what it is called, and the question."""

    home: int
    label: str
    path: str
    body: dict[str, Any]


def run_live(read: Read, seed: int | None = None, *, folder: Path) -> Report:
    """Run a scenario on an estate that is served for it. `folder` holds its state and log.

    Raises InputError for what a served estate cannot be asked, or when it does not start."""
    began = monotonic()
    refused = list(unfit(read))
    if refused:
        raise InputError(
            "\n  ".join([f"{read.where}: {len(refused)} things only in virtual time, without --live", *refused])
        )
    estate = read.estate(seed)
    use = read.scenario.estate
    source = use.source
    link = estate_use.link(read.scenario.link, estate.recipe.link)
    if _is_drawn(read) and (use.attach or use.cell is not None or not use.conditions or link != estate.recipe.link):
        source = str(folder / "estate.toml")
        recipe = msgspec.structs.replace(estate.recipe, link=link)
        Path(source).write_text(emit.table_text(emit.plain(recipe)), "utf-8")
    arguments = [] if estate.recipe.alerts.per_day is not None else ["--alerts", "0"]
    arguments += _release(read)
    with ServedEstate(
        folder,
        source,
        seed=estate.seed,
        installations=estate.installations,
        link=link.kind,
        timing="modelled",
        arguments=tuple(arguments),
    ) as served:
        run = _LiveRun(read, served)
        trouble = run.go()
        facts = Facts(estate.installations, trouble, run.heal(trouble))
        facts.findings = run.findings()
        for number, fault in run.faults.items():
            facts.struck[number] = () if fault.installation is None else (fault.installation,)
        virtual_s = (served.world.instant - estate.start) // SECOND
        digest = run.digest()
    return Report(
        name=read.scenario.name,
        seed=estate.seed,
        live=True,
        digest=digest,
        failures=checks_table.failures(read, facts),
        facts=facts,
        fired=checks_table.fired(read.faults, facts.end.fired),
        virtual_s=virtual_s,
        elapsed_s=monotonic() - began,
    )


def unfit(read: Read) -> list[str]:
    """What a scenario asks that a served estate cannot be asked."""
    found = []
    scenario = read.scenario
    said = [name for name in ("core", "air", "peer_deaths", "cut_over") if getattr(scenario.link, name)]
    if said and not _is_drawn(read):
        found.append(f"link.{', link.'.join(said)}: the list of homes has its own link; say it there, or use a recipe")
    campaigns: list[tuple[str, Step]] = [(f"campaigns[{at}]", step) for at, step in enumerate(scenario.campaigns)]
    if scenario.healing is not None:
        campaigns.append(("healing.campaign", scenario.healing.campaign))
    for key, step in campaigns:
        if isinstance(step, Migrate):
            others = {**step.settings}
            takeover = {**others.pop("takeover", {})}
            auxiliary = {**takeover.pop("auxiliary", {})}
            left = {*others, *takeover, *(set(auxiliary) - set(_AUXILIARY))}
            if left:
                found.append(f"{key}.settings: {', '.join(sorted(left))} cannot be chosen")
            if step.gate:
                found.append(f"{key}.gate: a migration by hand has no days to stop at")
    return found


def _is_drawn(read: Read) -> bool:
    """Whether the estate is a recipe, which can be served as the scenario changes it."""
    return not listing.is_listing(locate(read.scenario.estate.source))


def _release(read: Read) -> list[str]:
    """The core release as `smets1 serve` takes it: the first migration's."""
    for step in read.scenario.campaigns:
        if isinstance(step, Migrate):
            chosen = step.settings.get("takeover", {}).get("auxiliary", {})
            options = [(f"--{name.replace('_', '-')}", chosen[name]) for name in _AUXILIARY if name in chosen]
            return [word for option in options for word in option]
    return []


class _LiveRun:
    """One run over HTTP."""

    def __init__(self, read: Read, served: ServedEstate) -> None:
        self._read = read
        self._served = served
        self._world: ServedWorld = served.world
        self._homes = read.scenario.estate.only or tuple(range(served.estate.installations))
        self.faults: dict[int, Any] = {each.number: each.fault for each in read.faults}
        self._injected: dict[int, ServedFault] = {}
        self._done = 0
        self._failed: list[Finding] = []

    def go(self) -> Moment:
        """The trouble."""
        for index, step in enumerate(self._read.scenario.campaigns):
            if index:
                self._to_midnight()
            else:
                self._outages()
            for planned in self._read.faults:
                if planned.campaign == index:
                    self._injected[planned.number] = self._world.inject(planned.fault, may_stay_quiet=True)
            self._expect(index)
            self._step(step)
        return self._moment("trouble")

    def _expect(self, campaign: int) -> None:
        """What happens to the link so long after the beginning of a campaign."""
        for _, event in estate_use.events(self._read.scenario.link):
            if event.campaign != campaign:
                continue
            after_s = event.day * DAY / SECOND + of_day(event.at) / SECOND
            if isinstance(event, CutOver):
                body: dict[str, Any] = {"kind": event.to, "after_s": after_s, "black_s": event.black_s}
                self._world.wish(path_of(commands.CutOver), body)
            else:
                body = {"seconds": event.restart_s, "after_s": after_s, "end": event.end}
                self._world.wish(path_of(commands.KillGateway), body)

    def heal(self, trouble: Moment) -> Moment:
        """The healing, if there is one; how things stand then."""
        healing = self._read.scenario.healing
        if healing is None:
            return self._looked(replace(trouble), "end")
        for number, fault in self._injected.items():
            if self.faults[number].name not in healing.keep:
                fault.clear()
        self._to_midnight()
        if healing.oracle:
            self._until(of_day(healing.campaign.opens))
            self._cure(healing.campaign)
            self._to_midnight()
        self._step(healing.campaign)
        return self._moment("end")

    def _cure(self, campaign: Migrate) -> None:
        """Every device of homes that are not migrated is healed, if the oracle sees a way."""
        waves: list[list[_Post]] = [[] for _ in KEYED]
        ill = [home for home, end in self._ends().items() if end.verdict is not Verdict.MIGRATED]
        for each in self._diagnosed(ill):
            if each.kind == Class.RECOVERABLE:
                path = f"/v1/installations/{each.installation}/{each.device}/heal"
                waves[KEYED.index(DEVICE_NAMES[each.device])].append(_Post(each.installation, HEAL, path, {}))
        for wave in waves:
            self._abreast(campaign, wave)

    def _outages(self) -> None:
        """The link's planned outages over a list of homes, as faults that fall due; a recipe says them itself."""
        estate = self._served.estate
        if self._read.scenario.link.outages is None or _is_drawn(self._read):
            return
        for outage in host_options(self._read, estate, None).profile.outages:
            after_s = (outage.start - estate.start) / SECOND
            self._world.inject("link-outage", may_stay_quiet=True, after_s=after_s, seconds=outage.seconds)

    def _to_midnight(self) -> None:
        passed = (self._world.instant - self._served.estate.start) % DAY
        self._world.run_for(seconds=(DAY - passed) / SECOND)

    def _until(self, at: int) -> None:
        """Let time pass until so many µs after the campaign's midnight."""
        passed = (self._world.instant - self._served.estate.start) % DAY
        if at > passed:
            self._world.run_for(seconds=(at - passed) / SECOND)

    def _step(self, step: Step) -> None:
        if isinstance(step, Pass):
            self._world.run_for(days=step.days)
        elif isinstance(step, Migrate):
            self._until(of_day(step.opens))
            wish = {"installations": list(self._homes), "attempts": step.attempts, "retry_s": step.retry_s}
            self._world.wish("/v1/migrate", wish)
        elif isinstance(step, Rotate):
            self._until(of_day(step.opens))
            self._rotate(step)
        elif isinstance(step, Evening):
            self._until(of_day(step.opens))
            self._switch(step)
        elif isinstance(step, Requests):
            self._ask(step)

    # Errands

    def _rotate(self, step: Rotate) -> None:
        waves: list[list[_Post]] = [[] for _ in step.devices]
        for home in self._homes if step.homes is None else step.homes:
            installation = self._world.home(home).installation
            names = [name for name in step.devices if installation.device(DEVICE_NAMES[name]) is not None]
            for wave, name in zip(waves, names, strict=False):
                wave.append(_Post(home, ROTATE, f"/v1/installations/{home}/{name}/rotate-keys", {}))
        for wave in waves:
            self._abreast(step, wave)

    def _switch(self, step: Evening) -> None:
        waves: list[list[_Post]] = [[] for _ in range(SWITCHES_MOST)]
        service = "7.5" if step.state == "on" else "7.6"
        for home in self._homes if step.homes is None else step.homes:
            wiring = self._world.home(home).installation.wiring
            for switch in range(1, 0 if wiring is None else wiring.switches + 1):
                body = {"service": service, "parameters": {"switch": switch, "minutes": step.minutes}}
                waves[switch - 1].append(_Post(home, service, f"/v1/installations/{home}/service-request", body))
        for wave in waves:
            self._abreast(step, wave)

    def _abreast(self, step: Campaign, posts: Sequence["_Post"]) -> None:
        """Ask for things in many homes at once; what fails is asked for again later."""
        for left in reversed(range(step.attempts)):
            again: list[tuple[_Post, str]] = []
            begun: list[tuple[_Post, Any]] = []
            for post in posts:
                try:
                    begun.append((post, self._served.ask("POST", f"{post.path}?wait=0", post.body)))
                except ServerError as error:
                    again.append((post, str(error)))
            for post, answer in begun:
                problem = self._outcome(answer)
                if problem is None:
                    self._done += post.label != HEAL
                else:
                    again.append((post, problem))
            if not again:
                return
            if left:
                self._world.run_for(seconds=step.retry_s)
                posts = [post for post, _ in again]
            else:
                # What cannot be healed is told by the healing's own check.
                self._failed += [Finding(post.label, text, post.home) for post, text in again if post.label != HEAL]

    def _outcome(self, answer: Any) -> str | None:
        """How a task ended: None when well."""
        end = monotonic() + TASK_S
        while isinstance(answer, dict) and "task" in answer and answer.get("state") == "running":
            if monotonic() > end:
                return f"it has not ended after {TASK_S:.0f} s"
            sleep(LOOK_S)
            answer = self._served.ask("GET", f"/v1/task?task={answer['task']}")
        if isinstance(answer, dict) and answer.get("problem") is not None:
            return "{where}: {error}".format_map(answer["problem"])
        told = answer.get("answer", answer) if isinstance(answer, dict) and "state" in answer else answer
        if isinstance(told, dict) and told.get("verdict", "success") != "success":
            return f"{told['verdict']} {told['code']} {told['reason']}".strip()
        return None

    def _ask(self, step: Requests) -> None:
        midnight = self._world.instant
        for wish in sorted(step.wishes, key=lambda each: each.after_s):
            ahead = midnight + round(wish.after_s * SECOND) - self._world.instant
            if ahead > 0:
                self._world.run_for(seconds=ahead / SECOND)
            if wish.command is not None:
                self._world.wish(f"/v1/installations/{wish.home}/{wish.device}/{wish.command}", wish.arguments)
                self._done += 1
            elif wish.request == ROTATE:
                device = self._world.home(wish.home).device(DEVICE_NAMES[wish.device])
                self._try(step, wish.home, ROTATE, device.rotate_keys)
            else:
                self._request(step, wish)

    def _request(self, step: Campaign, wish: Wish) -> None:
        body = {"service": wish.request, "parameters": wish.arguments, "device": wish.device}

        def ask() -> None:
            found = self._world.wish(f"/v1/installations/{wish.home}/service-request", body)
            if found["verdict"] != "success":
                raise RefusedError(f"{found['verdict']} {found['code']} {found['reason']}", found["detail"])

        self._try(step, wish.home, wish.request or "", ask)

    def _try(self, step: Campaign, home: int, label: str, ask: Try) -> None:
        """Do a thing, so many times as it may be tried."""
        for left in reversed(range(step.attempts)):
            try:
                ask()
            except (NoAnswerError, RefusedError) as error:
                if left:
                    self._world.run_for(seconds=step.retry_s)
                else:
                    self._failed.append(Finding(label, str(error), home))
            else:
                self._done += 1
                return

    # What it came to

    def _moment(self, at: str) -> Moment:
        found = Moment(homes=self._ends(), done=self._done, failed=list(self._failed))
        for entry in self._world.entries:
            found.counts[entry.kind] = found.counts.get(entry.kind, 0) + 1
        for way in self._served.ask("GET", "/v1/glance")["link"].values():
            for cause, lost in way["lost_by"].items():
                kind = f"link.lost.{cause.replace(' ', '-')}"
                found.counts[kind] = found.counts.get(kind, 0) + lost
        found.alerts = found.counts.get("headend.alert", 0)
        found.fired = {number: fault.fired for number, fault in self._injected.items()}
        return self._looked(found, at)

    def _looked(self, found: Moment, at: str) -> Moment:
        """With what the checks of a moment look at besides."""
        found.oracle = self._diagnosed(to_diagnose(self._read, found, at, self._served.estate.seed))
        found.harms = self._harms() if asks_harm(self._read, at) else []
        return found

    def _ends(self) -> dict[int, HomeEnd]:
        found = {home: HomeEnd(home, Verdict.PENDING, "", 0, None) for home in self._homes}
        for line in self._ledger():
            home = line["installation"]
            if home in found:
                verdict = Verdict[line["verdict"].upper()]
                found[home] = HomeEnd(home, verdict, line["cause"], line["attempts"], _AUDITED[line["audited"]])
        return found

    def _diagnosed(self, homes: Sequence[int]) -> list[Diagnosed]:
        """What the oracle says of the devices for which there are keys."""
        estate = self._served.estate
        found = []
        for home in homes:
            record = estate.smso(estate.installation(home))
            for party in KEYED:
                device = record.device(party)
                if device is not None and device.keys is not None:
                    name = party.name.lower()
                    told = self._served.ask("GET", f"/v1/installations/{home}/{name}/diagnose")
                    found.append(Diagnosed(home, name, told["verdict"], told["reason"], told["advice"]))
        return found

    def _harms(self) -> list[SwitchHarm]:
        """What became of the heating of each home, from the first midnight until now."""
        return [
            SwitchHarm(home, each["switch"], each["lost_us"], each["gained_us"])
            for home in self._homes
            if self._world.home(home).installation.wiring is not None
            for each in self._served.ask("GET", f"/v1/installations/{home}/heating")["switches"]
        ]

    def _ledger(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for first in range(0, self._served.estate.installations, _PAGE):
            query = urlencode({"first": first, "count": _PAGE})
            lines += self._served.ask("GET", f"/v1/ledger?{query}")["lines"]
        return lines

    def findings(self) -> list[Finding]:
        """What the standing checks find."""
        found = self._served.ask("POST", "/v1/checks", {})["findings"]
        return [
            Finding(
                each["check"],
                f"{each['device']} {each['what']}".strip(),
                each["installation"] if each["installation"] >= 0 else None,
            )
            for each in found
        ]

    def digest(self) -> str:
        """Over the verdicts, causes and attempts: a live run's instants depend on when it was asked."""
        try:
            return str(self._world.digest())
        except EmulatorError:
            lines = [(each["installation"], each["verdict"], each["cause"]) for each in self._ledger()]
            return blake2b(repr(lines).encode(), digest_size=32).hexdigest()
