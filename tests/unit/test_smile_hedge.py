"""The traded hedge of the smile: when it acts, what it trades, when it fills, when it goes.

Half-hour bars; the look is on each session's first, at 10:00. Volatility leaps by five points a day, up and down.
"""

import numpy as np
import pytest

from core.market.store import market_of
from core.pricing.black_scholes import european
from core.pricing.implied_vol import implied_vol
from core.report.folder import fill_lines, row_times
from core.report.measure import slippage_cents
from core.report.model import reconciliation, smile_profit
from core.types import CALL, CASH, EVENT_SETTLEMENT, LIQUIDATION, MARKS, SOFT, F, T
from tests.hand import NO_QUOTE, SPOT, Then, contract_name, make_up, market, ran, row_at, time_of

DAYS = ("2025-06-02", "2025-07-07")  # 24 sessions; twenty changes of volatility are known from 07-02 on
EXPIRY = "2025-08-15"
# The condor of tests.hand, and what it can be hedged with.
CHAIN = {
    "P460": (0.08, 100),
    "P470": (0.16, 200),
    "P480": (0.25, 350),
    "P500": (0.50, 900),
    "C500": (0.50, 900),
    "C520": (0.25, 350),
    "C530": (0.16, 200),
    "C540": (0.08, 100),
}
CONDOR = {"P460": 10, "P470": -10, "C530": -10, "C540": 10}  # sold on 06-17 for $2,000
CHAIN_PRICES = {name: price for name, (_, price) in CHAIN.items()}
CREDIT_USD = 2_000.0
LIQUID = ("P480", "P500", "C520")
RULES = {
    "hedge__smile": "trade",
    "hedge__vanna_volga_budget": 0.0,
    "entry__weekdays": "tue",
    "entry__dte_min": 5,
    "max_positions": 1,
    "size__contracts": 10,
    "size__max_risk_frac": 1.0,
    "exits__profit_frac": 1.0,
    "exits__stop_multiple": 0.0,
    "exits__exit_dte": 0,
}
HEDGED = ("07-02 10:30", "-2 P480, +6 P500, -2 C520")


def of(names, expiry=EXPIRY):
    return {f"{name} {expiry}": value for name, value in names.items()}


def drawn(folder, *changes, expiry=EXPIRY, chain=CHAIN, **more):
    named = [Then(t.time, of(t.prices, expiry), t.spot, of(t.deltas, expiry)) for t in changes]
    return market(folder, *named, days=DAYS, contracts=of(chain, expiry), minutes=30, **more)


def wide_by(half_spread_cents):
    """Quotes of the liquid options so wide, around the same mids."""
    return {name: (CHAIN[name][1] - half_spread_cents, CHAIN[name][1] + half_spread_cents) for name in LIQUID}


def leaping(store):
    """At-the-money volatility by row: 20 % on even sessions, 25 % on odd ones."""
    return 0.20 + 0.05 * (np.asarray(store.columns["session"]) % 2)


@pytest.fixture
def hedged(monkeypatch):
    """A run on a drawn market with leaping volatility."""

    def run(store, **changes):
        make_up(monkeypatch, {"iv": leaping(store)})
        return ran(store, **{**RULES, **changes})

    return run


def hedges(result):
    """Every fill of the hedge: (time, "-2 P480, +6 P500, -2 C520")."""
    told = {}
    for f in result.fills:
        if f[F["trade"]] < 0 and f[F["contract"]] >= 0:
            words = f"{f[F['quantity']]:+d} {contract_name(result.market, f[F['contract']])}"
            told.setdefault(time_of(result.market, f[F["row"]]), []).append(words)
    return [(time, ", ".join(words)) for time, words in told.items()]


def smile_greeks(store, time):
    """Vega, vanna, volga ($ per vol point, per $ and point, per point squared) of one contract of each at a time."""
    m = market_of(store, "snapshot")
    r = row_at(m, time)
    years = (m.exp.ts[0] - m.row.ts[r]) / (365 * 86_400 * 1e9)
    found = {}
    for c in range(len(m.con)):
        strike, call = m.con.strike[c] / 100, m.con.right[c] == CALL
        cell = m.con.cell_base[c] + m.row.snap[r] - m.con.snap_first[c]
        vol = implied_vol(call, (m.q_bid[cell] + m.q_ask[cell]) / 200, SPOT, strike, years, 1.0)
        value = european(call, SPOT, strike, years, vol, 0.0)
        found[contract_name(m, c)] = np.array([float(value.vega), float(value.vanna), float(value.volga) / 100])
    return found


def exposure(greeks):
    """The larger of both one-sd moves on 07-02, $: 20 % (the session is even) and the past twenty changes."""
    sd_spot = SPOT * leap_of(21) / np.sqrt(252)
    sd_vol = 100 * np.diff([leap_of(s) for s in range(21)]).std(ddof=1)
    return max(abs(greeks[1] * sd_spot * sd_vol), abs(0.5 * greeks[2] * sd_vol**2))


def leap_of(s):
    return 0.20 + 0.05 * (s % 2)


def test_three_options_take_vega_vanna_and_volga_away_in_whole_contracts(hedged, tmp_path):
    store = drawn(tmp_path)
    one = smile_greeks(store, "07-02 10:00")
    book = sum(q * one[name] for name, q in CONDOR.items())
    wanted = np.linalg.solve(np.column_stack([one["P480"], one["P500"], one["C520"]]), -book)
    assert np.rint(wanted).tolist() == [-2, 6, -2]
    assert hedges(hedged(store)) == [HEDGED]


def test_it_acts_above_the_budget_and_not_below(hedged, tmp_path):
    store = drawn(tmp_path)
    one = smile_greeks(store, "07-02 10:00")
    share = exposure(sum(q * one[name] for name, q in CONDOR.items())) / CREDIT_USD
    assert hedges(hedged(store, hedge__vanna_volga_budget=share * 0.999))[:1] == [HEDGED]
    assert "07-02 10:30" not in dict(hedges(hedged(store, hedge__vanna_volga_budget=share * 1.001)))


def test_it_does_nothing_unless_asked_to(hedged, tmp_path):
    assert hedges(hedged(drawn(tmp_path), hedge__smile="report")) == []


@pytest.mark.parametrize("half_spread_cents", [7, 8])
def test_it_acts_only_if_it_removes_more_than_it_costs(half_spread_cents, hedged, tmp_path):
    """Of $73 a hedge of ten contracts may cost $70 and not $80."""
    one = smile_greeks(drawn(tmp_path / "locked"), "07-02 10:00")
    book = sum(q * one[name] for name, q in CONDOR.items())
    left = book - 2 * one["P480"] + 6 * one["P500"] - 2 * one["C520"]
    assert 70.0 < exposure(book) - exposure(left) < 80.0
    wide = Then("07-02 09:30", wide_by(half_spread_cents))
    found = dict(hedges(hedged(drawn(tmp_path / "wide", wide))))
    assert ("07-02 10:30" in found) == (half_spread_cents == 7)


def test_it_waits_for_two_sided_quotes_and_never_fills_on_the_row_of_the_look(hedged, tmp_path):
    gone = (Then("07-02 10:30", {"C520": NO_QUOTE}), Then("07-02 12:00", {"C520": 350}))
    assert hedges(hedged(drawn(tmp_path, *gone)))[:1] == [("07-02 12:00", HEDGED[1])]


def test_an_order_dies_with_its_day_and_the_next_look_decides_anew(hedged, tmp_path):
    gone = (Then("07-02 10:30", {"C520": NO_QUOTE}), Then("07-03 10:00", {"C520": 350}))
    (first,) = hedges(hedged(drawn(tmp_path, *gone)))
    assert first[0] == "07-03 10:30"


@pytest.mark.parametrize(("contract", "quote"), [("P460", NO_QUOTE), ("P500", NO_QUOTE), ("P500", (0, 1800))])
def test_unknown_greeks_and_one_sided_quotes_at_the_look_do_nothing(contract, quote, hedged, tmp_path):
    """Of a leg that is held or of one to hedge with, at 10:00 alone; there is no other option at the money."""
    gone = (Then("07-02 10:00", {contract: quote}), Then("07-02 10:30", {contract: CHAIN[contract][1]}))
    chain = {name: value for name, value in CHAIN.items() if name != "C500"}
    found = dict(hedges(hedged(drawn(tmp_path, *gone, chain=chain))))
    assert "07-02 10:30" not in found and "07-03 10:30" in found


def test_an_unknown_volatility_does_nothing(monkeypatch, tmp_path):
    store = drawn(tmp_path)
    iv = leaping(store)
    for unknown in (np.where(np.asarray(store.columns["session"]) == 5, np.nan, iv), np.full(len(iv), np.nan)):
        make_up(monkeypatch, {"iv": unknown})
        assert "07-02 10:30" not in dict(hedges(ran(store, **RULES)))  # two changes fewer are known


def test_it_closes_with_the_last_structure(hedged, tmp_path):
    """A stop is decided at 11:00 and fills at 11:30, where the hedge sees that nothing is left; it is gone at 12:00."""
    result = hedged(drawn(tmp_path, Then("07-03 11:00", {"P470": 450})), exits__stop_multiple=1.0)
    assert hedges(result) == [HEDGED, ("07-03 12:00", "+2 P480, -6 P500, +2 C520")]
    assert (result.ledger.rows[MARKS, row_at(result.market, "07-03 12:00") :] == 0).all()


def test_it_is_closed_at_the_look_at_which_all_structures_leave(hedged, tmp_path):
    """Held twenty days: both are decided on Monday at 10:00, since the hedge would be all that is left to hedge."""
    assert hedges(hedged(drawn(tmp_path), exits__max_hold_days=20))[1:] == [
        ("07-07 10:30", "+2 P480, -6 P500, +2 C520")
    ]


def test_a_hedge_that_has_come_to_add_to_the_exposure_is_closed_and_only_then_replaced(hedged, tmp_path):
    """The spot rises to 510 overnight; the next look finds the condor alone less exposed, the one after hedges anew."""
    found = hedges(hedged(drawn(tmp_path, Then("07-03 09:30", spot=510.0))))
    assert found[:2] == [HEDGED, ("07-03 10:30", "+2 P480, -6 P500, +2 C520")]
    assert [time for time, _ in found[2:]] == ["07-07 10:30"]


def test_nothing_is_hedged_that_is_being_closed(hedged, tmp_path):
    """Held fifteen days: the condor leaves on the very row of the first look."""
    assert hedges(hedged(drawn(tmp_path), exits__max_hold_days=15)) == []


def test_it_leaves_its_expiry_when_structures_do(hedged, tmp_path):
    """Both are decided at 14:30 of the expiry's day and fill on the next bar; none waits for the other."""
    result = hedged(drawn(tmp_path, expiry="2025-07-07"))
    assert [time for time, _ in hedges(result)][-1] == "07-07 15:00"
    assert time_of(result.market, result.trades[0][T["closed"]]) == "07-07 15:00"


def test_a_hedge_in_cash_settled_options_may_be_held_to_settlement(hedged, tmp_path):
    """At 500.00 the straddle's put is worth nothing, and so is all the rest."""
    result = hedged(drawn(tmp_path, expiry="2025-07-07", root="SPXW"), exits__expiry_rule="settle")
    own = result.fills[(result.fills[:, F["trade"]] < 0) & (result.fills[:, F["event"]] == EVENT_SETTLEMENT)]
    assert len(own) == 3
    assert own[:, F["price2"]].tolist() == [0, 0, 0]
    assert time_of(result.market, own[0][F["row"]]) == "07-07 16:00"
    assert result.ledger.rows[MARKS, -1] == 0


def test_what_a_structure_holds_on_the_other_side_is_refused(hedged, tmp_path):
    """Where the 25-delta put is the condor's own long put, and the hedge would sell it."""
    deltas = {"P460": 0.25, "P470": 0.30, "P480": 0.40}
    assert "07-02 10:30" not in dict(hedges(hedged(drawn(tmp_path, Then("07-02 09:30", deltas=deltas)))))


def test_cash_and_marks_hold_the_hedge_at_its_quotes_or_at_the_last_it_had(hedged, tmp_path):
    """Six P500 bought at $9.00 go to $10.00; while it has no quote the mark stands, and the row says it is soft."""
    then = (Then("07-02 12:00", {"P500": 1_000}), Then("07-02 13:00", {"P500": NO_QUOTE}))
    result = hedged(drawn(tmp_path, *then))
    m, rows, soft = result.market, result.ledger.rows, result.ledger.codes[SOFT]
    before, filled, dearer, dark = (row_at(m, f"07-02 {t}") for t in ("10:00", "10:30", "12:00", "13:00"))
    paid = 100 * (6 * 900 - 2 * 350 - 2 * 350)
    assert rows[CASH, filled] == rows[CASH, before] - paid
    assert rows[MARKS, filled] == rows[MARKS, before] + paid
    assert rows[MARKS, dearer] == rows[MARKS, filled] + 6 * 100 * 100
    assert rows[MARKS, dark] == rows[MARKS, dearer] == rows[LIQUIDATION, dark] - rows[CASH, dark]
    assert (soft[dearer], soft[dark]) == (0, 1)


def test_liquidation_sells_at_the_bid_and_buys_at_the_ask(hedged, tmp_path):
    wide = {"P500": (890, 910), "C520": (345, 355)}
    result = hedged(drawn(tmp_path, Then("07-02 12:00", wide)))
    r = row_at(result.market, "07-02 12:00")
    cash, marks, liquidation = result.ledger.rows[[CASH, MARKS, LIQUIDATION], r]
    assert cash + marks - liquidation == 100 * (6 * 10 + 2 * 5)


def test_the_hedge_in_shares_sees_the_delta_of_the_options(hedged, tmp_path):
    """Condor 0; P480 -2 x -25, P500 6 x -50, C520 -2 x 25: 300 shares short, bought on the bar after the fill."""
    result = hedged(drawn(tmp_path), hedge__delta_band=50.0)
    shares = [f for f in result.fills if f[F["trade"]] < 0 and f[F["contract"]] < 0]
    assert (time_of(result.market, shares[0][F["row"]]), shares[0][F["quantity"]]) == ("07-02 11:00", 300)


def test_the_report_counts_profit_and_slippage_of_the_hedge(hedged, tmp_path):
    """Six P500 gain $1.00 and the condor nothing; half-spreads of $0.07 are paid on ten contracts."""
    then = (Then("07-02 09:30", wide_by(7)), Then("07-02 11:00", CHAIN_PRICES), Then("07-02 12:00", {"P500": 1_000}))
    result = hedged(drawn(tmp_path, *then))
    assert smile_profit(result) == 600.0 - 70.0
    words = reconciliation(result, {"net_profit": 530.0, "interest": 0.0})
    assert "open at the end $0.00" in words and "options of the smile hedge $530.00" in words
    assert slippage_cents(result)[:2] == (7_000, 7_000)
    assert slippage_cents(result)[2] == 10  # packages are those of structures
    assert {line.split(",")[5] for line in fill_lines(result, row_times(result)) if ",hedge," in line} == {"2", "6"}
