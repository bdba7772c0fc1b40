"""The five data categories: homes sorted by what two sources say of their auxiliary load.

FACT: five categories were built from the old operator's data and the registration data to find the installations at
risk. Their names and rules are not public; here they are a table (`fixtures/categories.toml`, INFERENCE) that a user
may replace. The sorting sees papers only; the truth of a home is counted beside it, so that one can tell how many homes
with auxiliary load a rule table would let through.
"""

import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from emulator.errors import InputError, UsageError
from emulator.fleet.estate import Estate
from emulator.fleet.installation import Installation
from emulator.fleet.registration import PLAIN, Registered, Settlement, registered, registration_says, smso_says
from emulator.fleet.shards import Shards, quiet_collector
from emulator.resources import fixture

Word = Literal["auxiliary", "none", "missing", "contradictory"]
WORDS: Final = ("auxiliary", "none", "missing", "contradictory")


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are mistakes."""


class Category(_Strict, frozen=True, kw_only=True):
    """What a category is called, its default risk, and what to do with its homes."""

    title: str
    risk: str
    action: str


class Rule(_Strict, frozen=True, kw_only=True):
    """Sorts into `category` what fits both lists; an empty list fits all."""

    category: str
    smso: tuple[Word, ...] = ()
    registration: tuple[Word, ...] = ()


class _SettlementRow(_Strict, frozen=True, kw_only=True):
    ssc: str
    tprs: tuple[str, ...]
    classes: tuple[int, ...]
    auxiliary: bool
    tables: tuple[str, ...]


class _Document(_Strict, frozen=True, kw_only=True):
    categories: dict[str, Category]
    rules: tuple[Rule, ...]
    settlement: tuple[_SettlementRow, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule table, checked. `sorted` is (what the old operator says, what registration says) -> category."""

    categories: dict[str, Category]
    sorted: dict[tuple[str, str], str]
    by_table: dict[str, Settlement]
    by_ssc: dict[str, Settlement]


@dataclass(frozen=True, slots=True)
class Sorted:
    """One home: its category and what the sources say."""

    category: str
    smso: str
    registration: str
    registered: Registered


def parse(text: str, origin: str) -> Rules:
    """A rule table from TOML text; `origin` names it in errors. Raises InputError."""
    try:
        document = msgspec.convert(tomllib.loads(text), _Document, strict=True)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{origin}: {error}; see fixtures/categories.toml for the form") from error
    for number, rule in enumerate(document.rules, 1):
        if rule.category not in document.categories:
            known = ", ".join(document.categories)
            raise InputError(f"{origin}: rules[{number}]: no category {rule.category!r}; there are {known}")
    found: dict[tuple[str, str], str] = {}
    for smso, registration in product(WORDS, WORDS):
        for rule in document.rules:
            if smso in (rule.smso or WORDS) and registration in (rule.registration or WORDS):
                found[smso, registration] = rule.category
                break
        else:
            raise InputError(
                f"{origin}: no rule sorts a home of which the old operator says {smso!r} and registration "
                f"{registration!r}; add one, or a last rule without conditions"
            )
    by_ssc: dict[str, Settlement] = {}
    by_table: dict[str, Settlement] = {}
    for row in document.settlement:
        if row.ssc in by_ssc or not row.classes:
            raise InputError(f"{origin}: settlement {row.ssc}: twice, or without a profile class; give each once")
        made = by_ssc[row.ssc] = Settlement(row.ssc, row.tprs, row.classes, row.auxiliary)
        for table in row.tables:
            if table in by_table:
                raise InputError(f"{origin}: settlement {row.ssc}: table {table!r} has another SSC already; drop one")
            by_table[table] = made
    if PLAIN not in by_table:
        raise InputError(f"{origin}: no settlement lists the table {PLAIN!r}; homes without auxiliary load need it")
    return Rules(document.categories, found, by_table, by_ssc)


@lru_cache(maxsize=8)
def read(file: str | None = None) -> Rules:
    """The rule table in a file; the one that comes with the project for None. Raises InputError."""
    path = fixture("categories.toml") if file is None else Path(file)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; name a readable TOML file") from error
    return parse(text, str(path))


def sort(estate: Estate, home: Installation, rules: Rules) -> Sorted:
    """One home's category."""
    entry = registered(estate, home, rules.by_table)
    smso, registration = smso_says(estate, home), registration_says(entry, rules.by_ssc)
    return Sorted(rules.sorted[smso, registration], smso, registration, entry)


@dataclass(slots=True)
class Census:
    """How many homes of an estate are in each category, and how many of them truly have auxiliary load."""

    homes: dict[str, int]
    auxiliary: dict[str, int]
    by_saying: dict[tuple[str, str], int]
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class _Sorter:
    """What runs in a worker; picklable."""

    estate: Estate
    rules: str | None

    def __call__(self) -> "_Sorter":
        return self

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> Any:
        if method != "census":
            raise UsageError(f"a sorter has no method {method!r}")
        estate, rules = self.estate, read(self.rules)
        counts: Counter[tuple[str, str, bool]] = Counter()
        for number in estate.members(cell):
            home = estate.installation(number)
            found = sort(estate, home, rules)
            counts[found.smso, found.registration, home.wiring is not None] += 1
        return counts


def census(estate: Estate, rules_file: str | None = None, workers: int = 1) -> Census:
    """Sort every home of an estate. Raises InputError, WorkerError."""
    began = monotonic()
    rules = read(rules_file)
    if workers == 1:
        quiet_collector()
    total: Counter[tuple[str, str, bool]] = Counter()
    with Shards(_Sorter(estate, rules_file), estate.cells, workers) as shards:
        for counts in shards.ask("census", dict.fromkeys(range(estate.cells), ())).values():
            total.update(counts)
    homes = dict.fromkeys(rules.categories, 0)
    auxiliary = dict.fromkeys(rules.categories, 0)
    sayings: Counter[tuple[str, str]] = Counter()
    for (smso, registration, truly), count in sorted(total.items()):
        category = rules.sorted[smso, registration]
        homes[category] += count
        auxiliary[category] += count if truly else 0
        sayings[smso, registration] += count
    return Census(homes, auxiliary, dict(sayings), monotonic() - began)
