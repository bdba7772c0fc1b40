"""The dashboard in headless Chromium, against `smets1 serve` in a process of its own."""

import importlib.util
import re
import socket
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.stranger

if "page_kit" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("page_kit", Path(__file__).with_name("page_kit.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["page_kit"] = _module
    _spec.loader.exec_module(_module)

kit: Any = sys.modules["page_kit"]


def expect(locator: Any) -> Any:
    """Playwright's, which waits until it is so; imported when the browser is known to be there."""
    return import_module("playwright.sync_api").expect(locator)


class Reader:
    """Somebody with a browser tab: what the page asked for, and what it complained of."""

    def __init__(self, context: Any) -> None:
        self.context = context
        context.set_default_timeout(kit.PATIENCE_MS)
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.paths: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        where = urlsplit(request.url)
        self.hosts.add(where.hostname or where.scheme)
        self.paths.append(where.path)

    def open(self, street: Any, home: int = 0) -> Any:
        """The page, drawn."""
        self.page.goto(street.page(home))
        expect(self.page.locator("#wire")).to_have_text("connected")
        expect(self.page.locator("#stream")).to_have_text("live")
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; without it a skip, or a failure where strangers are required."""
    if importlib.util.find_spec("playwright") is None or not kit.CHROMIUM.exists():
        pytest.skip("needs playwright and Debian's chromium")
    import_module("playwright.sync_api").expect.set_options(timeout=kit.PATIENCE_MS)
    with kit.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def street(browser: Any) -> Iterator[Any]:
    with kit.street("--speed", "60") as found:
        yield found


@pytest.fixture
def reader(browser: Any) -> Iterator[Reader]:
    """A fresh tab that remembers nothing. What it asked must have stayed here, and it must not have complained."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Reader(context)
    try:
        yield found
        assert found.hosts <= {"127.0.0.1"}, found.hosts
        assert not found.complaints, found.complaints
    finally:
        context.close()


def row(page: Any, kind: str) -> Any:
    return page.locator(f'#journal li[data-kind="{kind}"]')


def test_the_street_is_there_at_a_glance(street: Any, reader: Reader) -> None:
    """Sixteen dots and the counts the API gives, a policy that names this server alone, the token out of the address,
    and nothing asked of anybody else."""
    page = reader.open(street)
    expect(page.locator("#estate")).to_have_text("demo-street")
    expect(page.locator("#dots .dot")).to_have_count(16)
    expect(page.locator("#tally-homes")).to_have_text("16")
    expect(page.locator("#link-state")).to_have_text("carries")
    expect(page.locator("#way-down td").first).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator("#rate canvas")).to_be_visible()
    assert "token" not in page.url
    assert {"/dashboard", "/static/dashboard.js", "/static/uPlot.iife.min.js", "/v1/glance"} <= set(reader.paths)
    answer = page.request.get(f"{street.http}/dashboard")
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")


def test_without_a_token_the_page_asks_for_one_and_for_nothing_else(street: Any, browser: Any) -> None:
    """No token: a form, an empty page and no question to the API. A wrong one is told; the right one opens."""
    context = browser.new_context()
    try:
        reader = Reader(context)
        page = reader.page
        page.goto(f"{street.http}/dashboard")
        expect(page.locator("#gate")).to_be_visible()
        expect(page.locator("#page")).to_be_hidden()
        assert not [path for path in reader.paths if path.startswith("/v1")]
        page.get_by_label("Token").fill("0" * 43)
        page.get_by_role("button", name="Open").click()
        expect(page.locator("#gate-why")).to_contain_text("does not take this token")
        page.get_by_label("Token").fill(street.token)
        page.keyboard.press("Enter")
        expect(page.locator("#dots .dot")).to_have_count(16)
        assert all("401" in text for text in reader.complaints), reader.complaints
    finally:
        context.close()


def test_a_fault_put_in_force_and_cleared_from_the_page_shows_in_the_journal(street: Any, reader: Reader) -> None:
    """With the gas meter out of the home network its key change fails, and the journal says why; once the fault is
    cleared from the list, the same button changes the keys and the journal says that too."""
    page = reader.open(street, home=0)
    page.locator("#fault-kind").select_option("han-lost")
    expect(page.locator("#fault-installation")).to_have_value("0")
    page.locator("#fault-device").select_option("gas")
    page.get_by_role("button", name="Inject").click()
    expect(page.locator("#in-force li")).to_have_count(1)
    expect(page.locator('#device-gas [data-fact="HAN"]')).to_contain_text("lost")
    gas = page.locator("#device-gas")
    gas.get_by_role("button", name="Rotate keys").click()
    expect(page.locator("#told.bad")).to_contain_text("rotate keys")
    expect(row(page, "hub.han-lost").first).to_contain_text("cannot be reached in the home network")
    expect(row(page, "rotation.confirmed")).to_have_count(0)
    page.get_by_role("button", name=re.compile("Clear fault .*han-lost")).click()
    expect(page.locator("#in-force li")).to_have_count(0)
    expect(page.locator('#device-gas [data-fact="HAN"]')).to_contain_text("joined")
    gas.get_by_role("button", name="Rotate keys").click()
    expect(page.locator("#told.good")).to_contain_text("data 1, master 1")
    expect(row(page, "rotation.confirmed").first).to_contain_text("gas proven under new keys: data 1, master 1")
    page.locator("#kinds").select_option("rotation.")
    expect(row(page, "rotation.confirmed").first).to_be_visible()
    expect(row(page, "hub.han-lost").first).to_be_hidden()


def test_a_rotation_from_the_page_changes_the_generation(street: Any, reader: Reader) -> None:
    """One home's electricity keys go from as handed over to generation 1, on the card, among all homes and by the API;
    every key id that was installed stands in the journal in words."""
    before = street.get("glance")["keys"]["generations"]
    page = reader.open(street, home=1)
    keys = page.locator('#device-electricity [data-fact="keys"]')
    expect(keys).to_have_text("data 0, master 0, epoch 0")
    page.locator("#device-electricity").get_by_role("button", name="Rotate keys").click()
    expect(keys).to_have_text(re.compile(r"^data 1, master 1, epoch \d$"))
    for name in ("encryption key", "authentication key", "master key"):
        expect(row(page, "keys.installed").filter(has_text=f"new {name} installed").first).to_be_visible()
    homes = str(before.get("1", 0) + 1)
    expect(page.locator("#generations tr").filter(has_text="generation 1").locator("td").nth(1)).to_have_text(homes)
    assert street.get("installations/1/state")["devices"][1]["keys"]["data_generation"] == 1


def test_buttons_reach_the_devices_and_the_clock(street: Any, reader: Reader) -> None:
    """Boost holds an auxiliary switch, a power cut darkens the meter, a step moves the clock, a wake wakes the hub, and
    the link fails and heals."""
    page = reader.open(street, home=6)
    electricity = page.locator("#device-electricity")
    electricity.get_by_role("button", name="Boost").click()
    expect(row(page, "auxiliary.held").first).to_contain_text("auxiliary switch 1 held on for 60 min")
    expect(page.get_by_role("img", name="switch 1 on, held")).to_be_visible()
    electricity.get_by_label("Seconds").fill("3600")
    electricity.get_by_role("button", name="Power cut").click()
    expect(row(page, "device.power-cut").first).to_contain_text("power cut for 3600 s")
    expect(page.locator("#device-electricity.dark")).to_be_visible()
    before = street.get("clock")["now"]
    page.get_by_role("button", name="1 day").click()
    expect(page.locator("#told.good")).to_contain_text("step")
    assert street.get("clock")["now"] - before >= 86_400_000_000
    expect(page.locator("#device-electricity.dark")).to_have_count(0)
    page.get_by_role("button", name="Wake", exact=True).click()
    expect(row(page, "hub.awake").first).to_be_attached()
    page.get_by_label("fail for").fill("3600")
    page.get_by_role("button", name="Fail link").click()
    expect(page.locator("#link-state")).to_have_text("black")
    page.get_by_role("button", name="Heal link").click()
    expect(page.locator("#link-state")).to_have_text("carries")
    page.get_by_role("button", name="stand").click()
    expect(page.locator("#speed")).to_have_text("stands")
    page.locator("[data-speed='60']").click()
    expect(page.locator("#speed")).to_contain_text("60")


def test_the_stream_goes_on_where_the_server_ended_it(street: Any, reader: Reader) -> None:
    """The server ends the stream after every second entry: the page asks again from where it was, and its journal has
    each of the home's entries once."""
    streams: list[str] = []

    def shorten(route: Any) -> None:
        streams.append(route.request.url)
        route.continue_(url=f"{route.request.url}&limit=2")

    reader.page.route("**/v1/journal/events*", shorten)
    page = reader.open(street, home=9)
    for seconds in range(1, 6):
        street.post("installations/9/electricity/power-cut", {"seconds": seconds})
    wanted = [each["number"] for each in street.get("journal?installation=9&limit=10000")["entries"]]
    assert len(wanted) >= 5
    expect(page.locator("#journal li")).to_have_count(len(wanted))
    numbers = page.eval_on_selector_all("#journal li", "rows => rows.map((row) => Number(row.dataset.number))")
    assert numbers == wanted[::-1]
    assert len(streams) >= 3
    assert len(set(streams)) == len(streams)  # each from further on


def test_it_outlives_a_restart_of_the_server(browser: Any, tmp_path: Path) -> None:
    """The server ends and another comes up at its address: the page says so, finds it by itself, notices that journal
    numbers begin anew, and goes on."""
    token = tmp_path / "token"
    token.write_text("t" * 32 + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ("--state", str(tmp_path / "state"), "--token-file", str(token), "--control-port", str(port))
    context = browser.new_context()
    try:
        reader = Reader(context)
        with kit.street(*arguments) as first:
            first.token = "t" * 32
            page = reader.open(first)
            for device in ("gas", "electricity"):
                first.post(f"installations/0/{device}/power-cut", {"seconds": 60})
            expect(row(page, "device.power-cut")).to_have_count(2)
        expect(page.locator("#wire")).to_contain_text("no connection")
        with kit.street(*arguments) as second:
            second.token = "t" * 32
            expect(page.locator("#wire")).to_have_text("connected")
            expect(page.locator("#journal .mark")).to_contain_text("started anew")
            second.post("installations/0/hub/power-cut", {"seconds": 62})
            expect(row(page, "device.power-cut").first).to_contain_text("62 s")
            expect(row(page, "device.power-cut")).to_have_count(3)
        assert all("ERR_CONNECTION_REFUSED" in text or "ERR_INCOMPLETE" in text for text in reader.complaints)
    finally:
        context.close()


def test_a_campaign_is_drawn_and_the_keyboard_is_enough(street: Any, reader: Reader) -> None:
    """Started from the page, a migration ends in a drawn course, its causes in words and coloured dots. Homes are one
    stop for the Tab key, with arrows within."""
    page = reader.open(street)
    page.locator("[data-speed='3600']").press("Enter")
    page.get_by_role("button", name="Migrate the estate").press("Enter")
    expect(page.locator("#causes")).to_contain_text("MF5:GT01")
    expect(page.locator("#causes")).to_contain_text("the gas meter's HAN link is lost")
    expect(page.locator("#course canvas")).to_be_visible()
    expect(page.locator("#dots .dot.migrated").first).to_be_visible()
    page.get_by_text("by cause").click()
    expect(page.locator("#course .u-legend")).to_contain_text("MF5:GT01")
    page.locator("#dots .dot").nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#dots .dot").nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#home-number")).to_have_value("2")
    expect(page.locator("#home-about")).to_contain_text("MF1:no-master-key")
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('#dots')")


def test_it_fits_a_telephone_and_follows_the_reader(street: Any, reader: Reader) -> None:
    """From 320 to 2560 px nothing is wider than the screen; dark and light readers get other grounds, at once."""
    page = reader.open(street, home=6)
    expect(page.locator("#device-electricity")).to_be_visible()
    grounds = set()
    for width, scheme in ((320, "dark"), (700, "light"), (1_000, "dark"), (2_560, "light")):
        page.set_viewport_size({"width": width, "height": 700})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert len(grounds) == len({ground for _, ground in grounds}) == 2


def test_a_large_estate_is_a_strip_of_cells(reader: Reader) -> None:
    """Five thousand homes are two cells in a strip; choosing one shows its first home."""
    with kit.street("--estate", "mds-cohort", "--installations", "5000") as large:
        page = reader.open(large)
        expect(page.locator("#strip .cell")).to_have_count(2)
        expect(page.locator("#dots")).to_be_hidden()
        first = large.get("glance")["cells"][1]["first"]
        page.locator("#strip .cell").nth(1).click()
        expect(page.locator("#home-number")).to_have_value(str(first))
        expect(page.locator("#device-hub")).to_be_visible()
