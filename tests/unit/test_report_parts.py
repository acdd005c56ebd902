"""What the report says beyond its figures: other uses of the money, worst days, R, excursions, costs, tax, trades."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.market.calendar import day_text
from core.report import trades
from core.report.beside import beside_rows, read_index
from core.report.campaigns import campaigns_of, done
from core.report.days import causes_over_time, worst_days
from core.report.folder import money
from core.report.measure import closing_rows, measure, session_range, slippage_cents
from core.report.model import trade_facts
from core.report.numbers import csv_bytes, money_cells, text_cells
from core.report.outcome_plots import FILLS, cost_points
from core.report.outcomes import CALL, NEITHER, PUT, outcome_figures, outcomes_of
from core.report.tax import rates_of, taxed
from core.types import F, T
from tests import markets

RUNS = ("natural", "carried")


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    return markets.run_named(request.param)


def closed_of(run):
    return done(campaigns_of(run))


def test_this_run_and_the_underlying_stand_beside_each_other(run):
    own, *_, held = beside_rows(run)
    ends = closing_rows(run)
    assert own.total == pytest.approx(run.equity[-1] / 100.0 / run.config["account.starting_cash"] - 1.0)
    spot = run.market.row.spot[run.first_row : run.last_row]
    assert held.total == pytest.approx(spot[ends[-1]] / spot[0] - 1.0) and "no dividends" in held.note
    assert own.drawdown >= 0.0 and held.volatility > 0.0


def test_an_index_of_the_users_own_counts_on_the_days_it_has(run, tmp_path):
    days = run.market.ses.day[session_range(run)].tolist()
    file = tmp_path / "CNDR.csv"
    lines = [f"{day_text(day)},{100.0 * 1.01**i}" for i, day in enumerate(days)]
    file.write_text("\n".join(["Date,CNDR Close", *lines]))
    if len(days) < 20:
        with pytest.raises(DataError, match="20 or more are needed"):
            beside_rows(run, (str(file),))
        return
    row = beside_rows(run, (str(file),))[-1]
    assert row.name == "CNDR" and row.total == pytest.approx(1.01 ** (len(days) - 1) - 1.0) and row.drawdown == 0.0
    file.write_text("\n".join(["Date,CNDR Close", *lines[:12], *lines[14:]]))
    assert "days missing" in beside_rows(run, (str(file),))[-1].note


def test_a_file_that_is_no_index_says_where(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("Date,Close\n1/2/2018,100\n2018-01-03,nothing\n")
    with pytest.raises(DataError, match="line 3"):
        read_index(str(file))
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no line begins with date"):
        read_index(str(file))
    with pytest.raises(DataError, match="cannot be read"):
        read_index(str(tmp_path / "none.csv"))
    file.write_text("title\nDATE,OPEN,CLOSE\n1/2/2018,99,100.5\n")
    assert list(read_index(str(file))[1].values()) == [100.5]


def test_the_worst_days_are_the_deepest_falls_of_equity_from_close_to_close(run):
    found = worst_days(run)
    equity = np.concatenate(([run.config["account.starting_cash"]], run.equity[closing_rows(run)] / 100.0))
    falls = np.sort(np.diff(equity))
    assert [d.pnl for d in found] == pytest.approx(falls[falls < 0][: len(found)].round(2).tolist())
    assert found == sorted(found, key=lambda d: d.pnl) and all(d.pnl < 0 for d in found)
    index = {day_text(day): i for i, day in enumerate(run.market.ses.day[session_range(run)].tolist())}
    spot = run.market.row.spot[closing_rows(run) + run.first_row]
    for day in found:
        i = index[day.day]
        assert day.index is None if i == 0 else day.index == pytest.approx(100.0 * (spot[i] / spot[i - 1] - 1.0))


def test_r_is_what_was_made_of_what_could_be_lost(run):
    campaigns = closed_of(run)
    found = outcomes_of(run, campaigns)
    one = found.pnl[0] / (campaigns.margin[0] / 100.0)
    assert found.r[0] == pytest.approx(one)
    assert (found.adverse >= -np.minimum(found.pnl, 0.0) - 1e-9).all()
    assert (found.favourable >= np.maximum(found.pnl, 0.0) - 1e-9).all()
    figures = outcome_figures(found, campaigns)
    assert figures["expectancy_r"] == pytest.approx(found.r.mean()) and figures["worst_r"] == pytest.approx(
        found.r.min()
    )
    assert figures["buying_power_days"] >= campaigns.margin.sum() / 100.0 - 1e-6


def test_the_tested_side_is_the_one_that_the_price_went_for(run):
    campaigns = closed_of(run)
    spot, strike = run.market.row.spot, run.market.con.strike / 100.0
    for i, side in enumerate(outcomes_of(run, campaigns).tested.tolist()):
        trade = run.trades[campaigns.first[i]]
        path = spot[campaigns.opened[i] : campaigns.ended[i] + 1]
        put, call = strike[trade[T["leg0"] + 1]], strike[trade[T["leg0"] + 2]]
        down, up = (path[0] - path.min()) / (path[0] - put), (path.max() - path[0]) / (call - path[0])
        assert side == (NEITHER if max(down, up) < 0.5 else PUT if down >= up else CALL)


def test_causes_end_at_the_attribution_of_the_metrics(run):
    measured = measure(run)
    causes = causes_over_time(run, measured)
    assert (np.diff(causes.row) >= 0).all()
    assert causes.total[:, -1] == pytest.approx(list(measured.metrics["attribution"].values()))


def test_costs_meet_the_run_at_what_it_paid_and_mid_at_nothing(run):
    net = measure(run).metrics["net_profit"]
    paid, half, _ = (v / 100.0 for v in slippage_cents(run))
    points = dict(zip(FILLS, cost_points(net, paid, half), strict=True))
    assert points[0.0] == pytest.approx(net + paid) and points[1.0] == pytest.approx(net + paid - half, abs=0.01)


def test_tax_takes_a_share_of_gains_and_carries_losses(run):
    campaigns = closed_of(run)
    short, index = taxed(run, campaigns, (0.4, 0.2))
    assert short.before == index.before == pytest.approx(campaigns.pnl.sum() / 100.0)
    assert index.rate == pytest.approx(0.6 * 0.2 + 0.4 * 0.4)
    expected = max(short.before, 0.0) * 0.4  # all trades close within one year
    assert short.tax == pytest.approx(expected, abs=0.01) and short.after == pytest.approx(
        short.before - expected, abs=0.02
    )
    assert rates_of(None) is None and rates_of("0.37,0.2") == (0.37, 0.2)
    for text in ("0.37", "a,b", "37,20"):
        with pytest.raises(ConfigError, match="--tax"):
            rates_of(text)


def test_a_way_begins_with_what_the_fills_gave_up_and_ends_at_the_result(run):
    ways = trades.ways_of(run, list(range(len(run.trades))))
    for i, way in ways.items():
        trade = run.trades[i]
        if trade[T["closed"]] >= 0:
            assert way.pnl[-1] == pytest.approx(trade[T["pnl"]] / 100.0, abs=0.005), i
            assert way.delta[-1] == way.vega[-1] == 0.0
        entry = run.fills[(run.fills[:, F["trade"]] == i) & (run.fills[:, F["row"]] == trade[T["opened"]])]
        mid = (entry[:, F["quantity"]] * (entry[:, F["price2"]] - entry[:, F["bid"]] - entry[:, F["ask"]])).sum() * 50
        assert way.pnl[0] == pytest.approx(-(mid + entry[:, F["fee"]].sum()) / 100.0, abs=0.005), i
        assert len(way.rows) <= trades.STOPS and (np.diff(way.rows) > 0).all()
        path = run.market.row.spot[way.rows[0] : way.rows[-1] + 1]
        assert way.spot.min() == path.min() and way.spot.max() == path.max()


def test_a_trade_in_words_names_its_money(run):
    facts = trade_facts(run)
    words = trades.words_of(run, facts, 0)
    assert f"${facts.credit[0]:.2f} a share" in words and facts.entry[0] in words
    low, high = trades.breakevens(facts, 0)
    assert low == pytest.approx(facts.strikes[0][1] - facts.credit[0], abs=0.006)
    assert high == pytest.approx(facts.strikes[0][2] + facts.credit[0], abs=0.006)


def test_a_long_run_gives_its_largest_trades_a_way(run, monkeypatch):
    monkeypatch.setattr(trades, "DETAILED", 2)
    found = trades.details(run, trade_facts(run))
    size = np.abs(run.trades[:, T["pnl"]])
    there = [i for i, detail in enumerate(found) if "way" in detail]
    assert len(found) == len(run.trades) and len(there) == min(2, len(run.trades))
    assert size[there].min() >= np.delete(size, there).max(initial=0)


def test_columns_of_money_are_written_as_single_amounts_are():
    cents = np.array([0, 5, -5, 99, -99, 100, -12_345, 10**13 + 7, -(10**15), 9_999, 10_000], np.int64)
    lines = csv_bytes(("what", "dollars"), (text_cells(["a"] * 10 + ["long"]), money_cells(cents))).decode()
    assert lines.splitlines()[1:] == [f"{'a' if i < 10 else 'long'},{money(int(c))}" for i, c in enumerate(cents)]
    assert csv_bytes(("dollars",), (money_cells(cents[:0]),)) == b"dollars\n"
