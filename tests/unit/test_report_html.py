"""report.html and equity.png: complete, escaped, labelled, self-contained and the same every time."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from unittest import mock

import numpy as np
import pytest

from backtest_engine import BacktestResult
from core import config as settings
from core.attribution import PARTS
from core.costs import costs_from
from core.errors import DataError
from core.market.calendar import day_number
from core.market.store import Store
from core.metrics import Trades, summarise
from core.report import plots
from core.report.build import report_of
from core.report.campaigns import campaigns_of, done
from core.report.exposure import Exposure
from core.report.faces import write_report
from core.report.factors import Factor, Firing
from core.report.groups import groups_of
from core.report.html import curves_of, figures_of
from core.report.insight import Insight
from core.report.measure import Measured
from core.report.model import (
    MODELLED,
    PARTLY,
    TradeFacts,
    modelled_badge,
    monthly_returns,
    report_values,
    trade_facts,
    trade_rows,
    verdict_of,
)
from core.report.outcomes import outcome_figures, outcomes_of
from core.report.page import for_script
from core.report.stress import small_stress
from core.report.twin import Difference
from core.risk_manager import NO_LIMITS
from core.types import (
    CALL,
    CASH,
    CONTRACT,
    DRAWDOWN,
    EXPIRY,
    FILL_FIELDS,
    HIGH_VOL,
    KIND_QUOTED,
    LIQUIDATION,
    PUT,
    RANGE,
    ROW,
    SESSION,
    SIGNAL,
    SIGNALS,
    TRADE_FIELDS,
    VERDICT,
    A,
    F,
    Ledger,
    Market,
    Reason,
    T,
    dtype_of,
)
from tests import markets

SESSIONS, BARS = 3, 78
FIRST_DAY = day_number("2018-01-30")  # Tuesday to Thursday: two months
START_USD = 100_000.0
NASTY = "<script>alert('x')</script> & \"more\""
STRIKES = ((90.0, PUT), (95.0, PUT), (105.0, CALL), (110.0, CALL))


def records(fields, size):
    return np.zeros(size, dtype_of(fields)).view(np.recarray)


NO_COSTS = costs_from(settings.load().values, settings.read_fees("none"), 4)


def small_market():
    """Three sessions of 5-minute rows at about $100, one expiry a week after the first, four contracts."""
    rows, sessions, expiries, contracts = (
        records(fields, size)
        for fields, size in ((ROW, SESSIONS * BARS), (SESSION, SESSIONS), (EXPIRY, 1), (CONTRACT, 4))
    )
    rows.session = np.arange(SESSIONS * BARS) // BARS
    rows.minute = 575 + 5 * (np.arange(SESSIONS * BARS) % BARS)
    rows.spot = 100.0 + np.sin(np.arange(SESSIONS * BARS) / 9.0)
    sessions.day = FIRST_DAY + np.arange(SESSIONS)
    sessions.start, sessions.end = np.arange(SESSIONS) * BARS, np.arange(1, SESSIONS + 1) * BARS
    sessions.offset = -300
    expiries.day = FIRST_DAY + 7
    contracts.strike = [round(100 * strike) for strike, _ in STRIKES]
    contracts.right = [right for _, right in STRIKES]
    held = {"row": rows, "ses": sessions, "exp": expiries, "con": contracts}
    return Market(**{name: held.get(name) for name in Market._fields})


def trade(opened, closed, pnl_cents, reason):
    values = {"opened": opened, "closed": closed, "credit": 120, "width": 500, "contracts": 1, "debit": 100, "fees": 40}
    values |= {"pnl": pnl_cents, "reason": reason, "kinds": 1 << KIND_QUOTED, "max_loss": 38_000}
    values |= {f"leg{leg}": leg for leg in range(4)}
    return [values.get(name, 0) for name in TRADE_FIELDS]


TRADES = (trade(10, 90, 1_960, Reason.PROFIT_TARGET), trade(20, 150, -21_040, Reason.STOP), trade(200, -1, 11_960, 28))


def small_result(folder, trades=TRADES, quotes="real"):
    """A run on the small market whose equity falls, recovers and ends above its start."""
    rows = SESSIONS * BARS
    (folder / "quality.json").write_text(json.dumps({"quotes": {"good": 4, "crossed": 0}, "sessions_missing": []}))
    manifest = {
        "name": "tiny",
        "quotes": quotes,
        "columns": {},
        "written": "2020-01-01",
        "roots": {"SPY": {"multiplier": 100}},
    }
    values, codes = np.zeros((5, rows), np.int64), np.zeros((2, rows), np.uint8)
    values[CASH] = 10_000_000 - (300 * np.sin(np.arange(rows) / 40.0) * 100).astype(np.int64) * bool(trades)
    values[LIQUIDATION] = values[CASH] - 500
    values[DRAWDOWN] = np.maximum.accumulate(values[CASH]) - values[CASH]
    codes[VERDICT, :50] = Reason.NO_QUOTES
    codes[VERDICT, 50:] = Reason.WINDOW
    table = np.array(trades, np.int64).reshape(-1, len(TRADE_FIELDS))
    table[:, T["campaign"]] = np.arange(len(table))
    fills = np.zeros((4 * len(table), len(FILL_FIELDS)), np.int64)
    fills[:, F["kind"]] = KIND_QUOTED
    return BacktestResult(
        store=Store(folder, manifest, {"vix": np.linspace(11.0, 17.0, rows)}),
        config=settings.load(),
        market=small_market(),
        rules=None,
        limits=NO_LIMITS,
        costs=NO_COSTS,
        first_row=0,
        last_row=rows,
        ledger=Ledger(rows=values, codes=codes, t_int=table, f_int=fills, a_int=np.zeros((0, len(A)), np.int64)),
        trades=table,
        fills=fills,
        adjustments=np.zeros((0, len(A)), np.int64),
        missed=0,
        scripted=False,
    )


def small_measured(result, warnings=(NASTY,), share_modelled=0.0):
    ended = result.trades[result.trades[:, T["closed"]] >= 0]
    equity, ends = result.equity / 100.0, np.arange(1, SESSIONS + 1) * BARS - 1
    day = result.market.ses.day
    metrics = summarise(
        session_day=day,
        session_equity_usd=equity[ends],
        underlying_close=result.market.row.spot[ends],
        bar_equity_usd=equity,
        bar_open_risk=np.zeros(len(equity), bool),
        starting_cash_usd=START_USD,
        trades=Trades(
            ended[:, T["pnl"]] / 100.0, day[[0] * len(ended)], day[[1] * len(ended)], ended[:, T["max_loss"]] / 100.0
        ),
        open_trades=len(result.trades) - len(ended),
        other={
            **{"buying_power_share_max": 0.2, "buying_power_share_mean": 0.1, "margin_max": 2_000.0},
            **{"fees": 1.2, "slippage_paid": 12.5, "interest": 0.0, "break_even_slippage_per_package": -0.75},
            **{"break_even_slippage_half_spreads": None, "share_fills_modelled": share_modelled},
            **{
                "share_pnl_modelled": share_modelled,
                "attribution": dict.fromkeys(PARTS, -10.0),
                "warnings": list(warnings),
            },
        },
        cash_returns=np.zeros(SESSIONS),
    )
    campaigns = done(campaigns_of(result))
    metrics.update(outcome_figures(outcomes_of(result, campaigns), campaigns))
    return Measured(metrics, np.zeros((len(result.trades), len(PARTS))))


def small_manifest(result, **changes):
    config = result.config
    entries = {path: {"value": value, "source": config.sources[path]} for path, value in config.values.items()}
    facts = {
        "settings": entries,
        "market": "tiny",
        "quotes": result.store.manifest["quotes"],
        "quote_kinds": ["quoted"],
    }
    hashes = {"settings_hash": "aa", "store_hash": "bb", "code_version": "cc", "seed": 7, "versions": {"numpy": "2"}}
    return {**facts, **hashes, "run_id": "RUN-ID", "started": "STARTED", "finished": "FINISHED", **changes}


def written(folder, changes=None, warnings=(NASTY,), share_modelled=0.0, **made):
    """(page text, measured) of one small run in a new folder."""
    folder.mkdir(exist_ok=True)
    result = small_result(folder, **made)
    measured = small_measured(result, warnings, share_modelled)
    stress = small_stress(markets.run_named("natural") if len(result.trades) else result)
    report = report_of(result, measured, small_manifest(result, **(changes or {})), small_insight(result), stress)
    with mock.patch("core.report.trades.DETAILED", 0):  # the small market has no quotes to mark them with
        write_report(folder, report, ("html",))
    return (folder / "report.html").read_text(encoding="utf-8"), measured


def small_insight(result):
    """What explains the small run: two days of a range, then high volatility; drawn signals, a made-up twin."""
    rows = len(result.market.row)
    signal = np.random.default_rng(3).normal(size=(len(SIGNALS), rows))
    signal[SIGNAL["regime"]] = np.where(np.arange(rows) < 2 * BARS, RANGE, HIGH_VOL)
    campaigns = done(campaigns_of(result))
    curve = np.array([1.0, np.nan, -3.0])
    held, over = np.array([0, 5, 5]), np.array([True, False, False])
    exposure = Exposure(np.arange(1, 4) * BARS - 1, *[curve] * 6, held, 100.0 * curve, 0.1 * curve, over)
    figures = dict.fromkeys(("net_profit", "sharpe", "psr", "trades", "effective_trades", "max_drawdown"))
    difference = Difference(0.01, -0.01, 0.03, 0.2)._asdict()
    part = {"start": "2018-01-30", "end": "2018-01-31", "full": figures, "mechanical": figures}
    return Insight(
        signal=signal,
        campaigns=campaigns,
        groups=groups_of(result, campaigns, signal),
        factors=[Factor("vix", 15.0, 20.0, -5.0, -7.0, -3.0, 4.9, 2.5)] if len(campaigns.first) else [],
        firings=[Firing(f"if vix is {NASTY} then 1", 0.5, None, 0.25)],
        exposure=exposure,
        twin={
            **{"settings": {"strategy.filters.vix_max": 20.0}, "cut": "2018-02-01", "verdict": "no significant"},
            **{"in_sample": {**part, "difference": difference}, "out_of_sample": {**part, "difference": difference}},
        },
    )


class Page(HTMLParser):
    """What the tests ask of a page: its elements, the text of each script, figures by key, its visible words."""

    VOID = ("meta", "link", "img", "br", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.scripts, self.figures, self.words = [], [], [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if "data-key" in dict(attrs):
            self.figures[dict(attrs)["data-key"]] = json.loads(dict(attrs)["data-value"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def with_attribute(self, name):
        return [(tag, attrs[name]) for tag, attrs in self.elements if name in attrs]

    def data(self):
        return json.loads(
            next(s for s, (_, attrs) in zip(self.scripts, self.script_tags(), strict=True) if "id" in attrs)
        )

    def script_tags(self):
        return [element for element in self.elements if element[0] == "script"]

    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    text, measured = written(tmp_path_factory.mktemp("run"))
    return text, Page(text), measured


# --- the page as a file ----------------------------------------------------------------------------------


def test_page_is_well_formed_and_its_ids_are_unique(run):
    _, page, _ = run
    assert page.open == []
    ids = [value for _, value in page.with_attribute("id")]
    assert len(ids) == len(set(ids)) > 10


def test_page_refers_to_nothing_outside_itself(run):
    _, page, _ = run
    for name in ("src", "href", "srcset", "action", "poster", "data"):
        assert page.with_attribute(name) == []
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "form"}


def test_policy_forbids_everything_but_the_scripts_of_the_page(run):
    _, page, _ = run
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and "default-src 'none'" in policies[0] and "http" not in policies[0]
    script_source = next(part for part in policies[0].split("; ") if part.startswith("script-src"))
    code = [s for s, (_, attrs) in zip(page.scripts, page.script_tags(), strict=True) if "type" not in attrs]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in code]
    assert script_source.split()[1:] == [f"'sha256-{digest}'" for digest in hashes]


def test_two_equal_runs_give_equal_bytes_whatever_their_clock_and_id(tmp_path):
    written(tmp_path / "a", {"run_id": "one", "started": "monday", "finished": "tuesday"})
    written(tmp_path / "b", {"run_id": "two", "started": "friday", "finished": "sunday"})
    for name in ("report.html", "equity.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_page_holds_no_clock_and_no_run_id(run):
    text, _, _ = run
    assert not any(word in text for word in ("RUN-ID", "STARTED", "FINISHED", "2020-01-01"))


def test_picture_carries_no_date_and_no_maker(tmp_path):
    written(tmp_path / "a")
    picture = (tmp_path / "a" / "equity.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert not any(chunk in picture for chunk in (b"tEXt", b"tIME", b"iTXt", b"atplotlib"))


# --- what it says ----------------------------------------------------------------------------------------


def test_figures_of_the_summary_are_those_of_the_metrics(run):
    _, page, measured = run
    assert len(page.figures) > 25
    assert page.figures == {key: measured.metrics[key] for key in page.figures}


def test_warnings_come_before_the_figures_and_are_escaped(run):
    text, page, _ = run
    assert NASTY not in text
    assert NASTY in page.text()
    assert text.index('id="warnings"') < text.index('id="verdict"') < text.index('id="figures"')


def test_names_from_outside_cannot_leave_the_data_of_the_page():
    text = for_script({"name": "</script><b>&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": "</script><b>&"}


@pytest.mark.parametrize(
    ("quotes", "share", "label"),
    [("real", 0.0, ""), ("real", 0.25, PARTLY), ("MODELLED QUOTES ON REAL CLOSES", 0.0, MODELLED)],
)
def test_modelled_quotes_are_labelled(quotes, share, label):
    metrics = {"share_fills_modelled": share, "share_pnl_modelled": 0.0}
    assert modelled_badge({"quotes": quotes}, metrics) == label


def test_modelled_label_stands_at_every_heading_with_prices(tmp_path):
    real, _ = written(tmp_path / "real")
    modelled, _ = written(tmp_path / "modelled", quotes="MODELLED QUOTES ON REAL CLOSES")
    assert "MODELLED" not in Page(real).text()
    headings = ("Key figures", "Equity and drawdown", "Return by month, %", "Trades", "Distributions")
    assert all(f"{name} MODELLED" in Page(modelled).text() for name in headings)
    assert "Made money on modelled quotes" in Page(modelled).text()


def test_a_gain_with_few_results_is_not_called_proven(run):
    _, _, measured = run
    metrics = {**measured.metrics, "net_profit": 50.0, "net_profit_pct": 0.05}
    verdict = verdict_of(metrics, "", "")
    assert verdict.headline == "Made money" and "too few" in verdict.text


def test_net_profit_is_taken_apart_exactly(tmp_path):
    result = small_result(tmp_path)
    measured = small_measured(result)
    text = report_values(result, measured, small_manifest(result))["reconciliation"]
    amounts = [float(word.strip(".,").replace("$", "").replace(",", "")) for word in text.split() if "$" in word]
    assert amounts[1] == -190.80  # 19.60 - 210.40, the two closed trades
    assert round(sum(amounts[1:]), 2) == amounts[0] == round(measured.metrics["net_profit"], 2)


def test_a_run_without_trades_says_why(tmp_path):
    text, _ = written(tmp_path / "none", trades=(), warnings=("No trade closed.",))
    page = Page(text)
    assert "No trades" in page.text() and "outside the entry window" in page.text()
    assert page.data()["trades"]["rows"] == [] and set(page.data()["figures"]) == {"equity", "trades"}
    assert "trade-table" not in dict((value, tag) for tag, value in page.with_attribute("id"))


def test_every_figure_has_its_place_and_every_place_its_figure(run):
    _, page, _ = run
    places = {value for _, value in page.with_attribute("id") if value.startswith("figure-")}
    assert places == {f"figure-{name}" for name in page.data()["figures"]}


def test_an_unreadable_quality_file_is_one_data_error(tmp_path):
    result = small_result(tmp_path)
    (tmp_path / "quality.json").write_text("{")
    with pytest.raises(DataError, match=r"quality\.json: cannot be read"):
        report_values(result, small_measured(result), small_manifest(result))


# --- trades ----------------------------------------------------------------------------------------------


def test_trade_table_shows_each_trade_and_leaves_an_open_one_without_result(tmp_path):
    result = small_result(tmp_path)
    facts = trade_facts(result)
    assert isinstance(facts, TradeFacts) and facts.dte.tolist() == [7, 7, 5]
    won, lost, still_open = trade_rows(result, facts)
    assert won[:6] == [0, "2018-01-30 10:25", "2018-01-31 10:35", "2018-02-06", 7, "90/95P 105/110C"]
    assert (won[10], lost[10], still_open[10]) == (19.60, -210.40, None)
    assert still_open[2] is None and still_open[14] == "open when the market ends"


def test_price_chart_draws_four_strikes_of_each_trade_from_entry_to_exit(tmp_path):
    result = small_result(tmp_path)
    report = report_of(result, small_measured(result), small_manifest(result), small_insight(result), {})
    figure = figures_of(report, curves_of(result))["trades"]
    won = [trace for trace in figure["data"] if trace.get("legendgroup") == "won"]
    assert won[0]["y"] == [95.0, 95.0, None, 105.0, 105.0, None]
    assert won[1]["y"] == [90.0, 90.0, None, 110.0, 110.0, None]
    assert won[0]["x"][:2] == ["2018-01-30 10:25", "2018-01-31 10:35"]
    assert {trace["marker"]["symbol"] for trace in figure["data"] if "marker" in trace} == set(plots.SYMBOL.values())


def test_price_chart_shows_where_each_regime_ruled(tmp_path):
    result = small_result(tmp_path)
    report = report_of(result, small_measured(result), small_manifest(result), small_insight(result), {})
    figure = figures_of(report, curves_of(result))["trades"]
    bands = {trace["name"]: trace for trace in figure["data"] if trace.get("yaxis") == "y2"}
    assert set(bands) == {"range", "high vol"}
    start, change, end = "2018-01-30 09:35", "2018-02-01 09:35", "2018-02-01 16:00"
    assert bands["range"]["x"] == [start, start, change, change, None]
    assert bands["high vol"]["x"] == [change, change, end, end, None]
    assert all(trace["fillcolor"][1:] in plots.PALETTE["light"] for trace in bands.values())


def test_page_explains_the_run(run):
    _, page, _ = run
    sections = {value for tag, value in page.with_attribute("id") if tag in ("section", "details")}
    assert {"twin", "exposure", "groups", "factors", "rules", "funnel"} <= sections
    assert "Full less mechanical: +1.00% a year (95%: -1.00 to +3.00), p = 0.200." in page.text()
    assert "range * 2 -191 -95" in page.text()  # both closed trades; fewer than five are marked
    assert "1 sessions hold a leg without known greeks" in page.text()


def test_plotly_accepts_every_figure_in_both_schemes(run):
    from plotly.graph_objects import Figure

    def coloured(value, colours):
        if isinstance(value, str):
            return colours[value[1:]] if value.startswith("@") else value
        if isinstance(value, list):
            return [coloured(part, colours) for part in value]
        return {key: coloured(part, colours) for key, part in value.items()} if isinstance(value, dict) else value

    _, page, _ = run
    for colours in plots.PALETTE.values():
        for figure in page.data()["figures"].values():
            Figure(coloured(figure, colours))


# --- arithmetic ------------------------------------------------------------------------------------------


def test_long_curves_keep_their_extremes_within_the_limit():
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=98_000).cumsum(), rng.normal(size=98_000)
    kept = plots.kept_rows(first, second)
    assert len(kept) <= plots.POINTS and (np.diff(kept) > 0).all()
    assert kept[0] == 0 and kept[-1] == 97_999
    for curve in (first, second):
        assert curve[kept].max() == curve.max() and curve[kept].min() == curve.min()


def test_short_curves_are_kept_whole():
    assert plots.kept_rows(np.zeros(7)).tolist() == list(range(7))


@pytest.mark.parametrize("values", [[5.0], [-3.0, 4.0], [0.0, 0.0], [-1e5, 2e5, 12.34], [0.019, 0.011]])
def test_bins_hold_every_value_once_and_never_straddle_zero(values):
    edges, counts, width = plots.histogram(np.array(values))
    assert sum(counts) == len(values)
    assert not any(edge < -1e-9 and edge + width > 1e-9 for edge in edges)
    assert edges[0] <= min(values) + 1e-9 and max(values) < edges[-1] + width + 1e-9


def test_months_compound_to_the_year():
    days = [day_number(day) for day in ("2017-12-29", "2018-01-02", "2018-01-31", "2018-02-01")]
    years = monthly_returns(days, np.array([110.0, 120.0, 99.0, 49.5]), 100.0)
    assert [year.year for year in years] == ["2017", "2018"]
    assert years[0].months[11] == pytest.approx(10.0)
    assert years[1].months[:3] == [pytest.approx(-10.0), pytest.approx(-50.0), None]
    assert years[1].whole == pytest.approx(-55.0)


def test_a_lost_account_has_no_further_months():
    days = [day_number(day) for day in ("2018-01-31", "2018-02-28")]
    (year,) = monthly_returns(days, np.array([-5.0, -5.0]), 100.0)
    assert year.months[0] == pytest.approx(-105.0) and year.months[1] is None
