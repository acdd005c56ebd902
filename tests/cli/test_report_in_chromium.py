"""report.html in a real browser: nothing is logged, filters and the single trade work, a phone shows all of it."""

import json
import shutil

import pytest

import main
from core.report import folder as run_files
from tests import markets

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements-dev.txt)")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="no Chromium with its driver here (Debian: chromium, chromium-driver)"
)
ALL = "[...document.querySelectorAll"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a small run, as an address."""
    out = tmp_path_factory.mktemp("page") / "run"
    patch = pytest.MonkeyPatch()
    patch.setenv("QMTF_STORE_DIR", str(markets.market("carried").path.parent))
    patch.setattr(run_files, "ROOT", out.parent)
    patch.setattr("core.config.ROOT", out.parent)
    sets = [item for path, value in markets.SHORT_LIVED.items() for item in ("--set", f"{path}={value}")]
    command = ["backtest", "--market", "carried", "--report", "html", "--quiet", "--json", "--out", str(out), *sets]
    assert main.main(command) == 0
    patch.undo()
    return (out / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = BROWSER
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1240,900"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def shown(browser, page):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(page)
    return browser


def ask(browser, script):
    return browser.execute_script(f"return {script}")


def test_nothing_is_logged_and_every_chart_is_drawn(shown):
    assert shown.get_log("browser") == []
    charts = ask(shown, f'{ALL}("[id^=figure-]")].map(e => [e.id, e.querySelectorAll("svg").length])')
    assert len(charts) >= 12 and all(count for _, count in charts), charts
    assert json.loads(ask(shown, 'document.getElementById("report-data").textContent'))["trades"]["rows"]


def test_nothing_is_asked_of_the_network(shown):
    names = ask(shown, 'performance.getEntriesByType("resource").map(e => e.name)')
    assert [name for name in names if not name.startswith("data:")] == []


def rows(browser):
    cells = "[...r.cells].map(c => c.textContent)"
    return ask(browser, f'{ALL}("#trade-table tbody tr")].map(r => {cells})')


def heads(browser):
    return ask(browser, f'{ALL}("#trade-table th")].map(e => e.textContent)')


def choose(browser, name, value):
    find = f'const e = document.getElementById("filter-{name}")'
    browser.execute_script(f'{find}; e.value = arguments[0]; e.dispatchEvent(new Event("change"))', value)


def test_filters_leave_what_they_say(shown):
    every = rows(shown)
    choose(shown, "result", "won")
    won = rows(shown)
    choose(shown, "result", "lost")
    lost = rows(shown)
    choose(shown, "result", "")
    pnl = heads(shown).index("P&L $")
    assert 0 < len(won) < len(every) and all(float(row[pnl]) > 0 for row in won)
    assert all(float(row[pnl]) <= 0 for row in lost) and len(won) + len(lost) <= len(every)
    choose(shown, "from", every[-1][1][:10])
    assert 0 < len(rows(shown)) < len(every)
    choose(shown, "from", "")
    reason = every[0][-2]
    choose(shown, "reason", reason)
    assert {row[-2] for row in rows(shown)} == {reason}


def test_a_row_opens_its_trade(shown):
    assert ask(shown, 'document.getElementById("one-trade").hidden')
    first = rows(shown)[0]
    shown.execute_script('document.querySelector("#trade-table tbody tr").click()')
    assert ask(shown, 'document.getElementById("one-trade-name").textContent') == f"Trade {first[0]}"
    words = ask(shown, 'document.getElementById("one-trade-words").textContent')
    assert first[5] in words and first[1] in words
    assert ask(shown, 'document.querySelectorAll("#one-trade-chart svg").length') > 0
    assert ask(shown, 'document.querySelectorAll("#one-trade-greeks tr").length') == 3
    assert shown.get_log("browser") == []


def test_the_table_sorts_by_a_column_both_ways(shown):
    place = heads(shown).index("P&L $")
    script = f'document.querySelectorAll("#trade-table th button")[{place}].click()'
    shown.execute_script(script)
    up = [float(row[place]) for row in rows(shown) if row[place]]
    shown.execute_script(script)
    down = [float(row[place]) for row in rows(shown) if row[place]]
    assert up == sorted(up) and down == sorted(down, reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scroll_in_either_scheme(shown, page, scheme, tmp_path):
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    shown.get(page)
    shown.execute_script('document.querySelector("#trade-table tbody tr").click()')
    assert ask(shown, "document.documentElement.scrollWidth") <= PHONE["width"]
    background = ask(shown, "getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(243, 245, 247)", "dark": "rgb(16, 19, 23)"}[scheme]
    assert shown.get_log("browser") == []
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
