"""Every chain and bar file of the kit is imported, or refused for the right reason; figures come from the files."""

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from core.errors import DataError
from core.market.calendar import day_number
from core.market.importers import import_market
from core.market.store import market_of
from core.quotes import leg_rows
from core.types import ASK, BAD_MARKED, BID, CASH_AM, FLAG, GOOD

NEW_YORK = "America/New_York"
SAMPLE = 300


class Case(NamedTuple):
    """A chain with bars of its underlying. roots: what is taken of the chain."""

    chain: str
    bars: str
    roots: tuple[str, ...] = ()
    thin: bool = False
    form: str = "standard"


CASES = {
    "spy 2026": Case("spy_chain_eod_2026.parquet", "spy_5min_2026h2.parquet"),
    "spx 2026": Case("spx_chain_eod_2026.parquet", "spx_5min_2026.parquet"),
    "spxw 2026": Case("spx_chain_eod_2026.parquet", "spx_5min_2026.parquet", ("SPXW",)),
    "spxw 2018": Case("spxw_chain_eod_2018.parquet", "spx_daily.parquet"),
    "spy 2021": Case("spy_chain_eod_2021_sparse.parquet", "spy_daily.parquet", thin=True),
    "snapshots spy": Case("cboe_chain_snapshots.parquet", "spy_daily.parquet", ("SPY",)),
    "snapshots spx": Case("cboe_chain_snapshots.parquet", "spx_daily.parquet", ("SPX", "SPXW")),
    "lean spx": Case("lean_option_minute_quotes.parquet", "lean_spx_minute_bars.parquet", ("SPX", "SPXW"), thin=True),
    "lean spy": Case("lean_option_minute_quotes.parquet", "lean_spy_minute_bars.parquet", ("SPY",), thin=True),
}
MIDS = Case("spx_0dte_mid_intraday.parquet", "spx_daily.parquet", thin=True, form="mids")
OUTCOMES = Case(*("spx_0dte_ironcondor_outcomes.csv",) * 2, thin=True, form="outcomes")
EVENING = ("spy 2026", "spx 2026", "spxw 2026")
APART = ("spy_1min_2024.parquet", "spy_5min_2025.parquet")  # bars that no chain of the kit goes with
NO_BARS = {  # file given as bars: why it is refused
    "spy_hourly_1998_2021.parquet": "60 minutes apart",
    "vix_hourly_2023_2026.parquet": "60 minutes apart",
    "cndr_daily_2018_2024.csv": "no column timestamp",
    "cboe_strategy_indices_monthly.parquet": "no column timestamp",
    "rates_daily.parquet": "no column timestamp",
    "vol_indices_daily.parquet": "no column timestamp",
    "spy_dividends.csv": "no column timestamp",
}


class Raw(NamedTuple):
    """A case's files as pandas reads them, without our code. quotes.day, bars.day: New York dates."""

    quotes: Any
    bars: Any
    shared: Any  # dates of both


def table(path):
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def new_york_days(frame):
    if "timestamp" in frame.columns:
        return frame["timestamp"].dt.tz_convert(NEW_YORK).dt.strftime("%Y-%m-%d")
    return pd.to_datetime(frame["date"]).dt.strftime("%Y-%m-%d")


@pytest.fixture(scope="session")
def raw(kit):
    """Case -> Raw, read once; a skip where a file is not in the kit."""
    read: dict[Case, Raw] = {}

    def raw(case):
        if case not in read:
            for name in (case.chain, case.bars):
                if not (kit / name).is_file():
                    pytest.skip(f"the kit has no {name}")
            quotes, bars = table(kit / case.chain), table(kit / case.bars)
            quotes, bars = quotes.assign(day=new_york_days(quotes)), bars.assign(day=new_york_days(bars))
            if case.roots:
                quotes = quotes[quotes["root"].isin(case.roots)]
            read[case] = Raw(quotes, bars, sorted(set(quotes["day"]) & set(bars["day"])))
        return read[case]

    return raw


@pytest.fixture(scope="session")
def market(kit, raw, tmp_path_factory):
    """Case -> its store, built once. Where chain and bars share no day the DataError is what is tested."""
    stores: dict[Case, Any] = {}
    folder = tmp_path_factory.mktemp("stores")

    def market(case):
        shared = raw(case).shared
        if case not in stores:
            build = lambda: import_market(  # noqa: E731
                case.form, kit / case.bars, kit / case.chain, f"m{len(stores)}", folder,
                tz=NEW_YORK, stamp="start", thin=case.thin, root=",".join(case.roots) or None,
            )  # fmt: skip
            if not shared:
                with pytest.raises(DataError, match="share no session"):
                    build()
                stores[case] = None
            else:
                stores[case] = build()
        if stores[case] is None:
            pytest.skip("chain and bars of this kit share no day; refused with the data error")
        return stores[case]

    return market


def quality(store):
    return json.loads((store.path / "quality.json").read_text(encoding="utf-8"))


def seen(case, raw):
    """The quotes that a store of five-minute rows keeps: (those in time, the last of each contract and row)."""
    quotes = raw.quotes[raw.quotes["day"].isin(raw.shared)].copy()
    if "timestamp" in quotes.columns:
        end = quotes["timestamp"] + pd.Timedelta(minutes=1)
        quotes["row"] = end.dt.ceil("5min")
        clock = quotes["timestamp"].dt.strftime("%H:%M")
        quotes = quotes[(clock >= "09:30") & (clock < "16:00")]
    else:
        quotes["row"] = quotes["day"]
    kept = quotes.drop_duplicates(["root", "expiration", "strike", "type", "row"], keep="last")
    return quotes, kept


@pytest.mark.parametrize("name", CASES)
def test_every_row_of_the_file_is_accounted_for(name, raw, market):
    case = CASES[name]
    report = quality(market(case))
    inside, kept = seen(case, raw(case))
    kinds = report["quotes"]
    assert report["rows_read"] == len(raw(case).quotes)
    assert report["rows_outside_the_bars"] == len(raw(case).quotes) - len(inside)
    assert kinds["duplicate"] == 0
    assert kinds["superseded"] == len(inside) - len(kept)
    assert sum(kinds.values()) + report["rows_outside_the_bars"] == report["rows_read"]
    assert report["sessions_with_quotes"] == inside["day"].nunique()


@pytest.mark.parametrize("name", CASES)
def test_bad_quotes_are_counted_as_the_file_has_them(name, raw, market):
    case = CASES[name]
    store = market(case)
    kinds = quality(store)["quotes"]
    _, kept = seen(case, raw(case))
    assert kinds["crossed"] == (kept["bid"] > kept["ask"]).sum()
    assert kinds["zero_zero"] == ((kept["bid"] == 0) & (kept["ask"] == 0)).sum()
    assert kinds["one_sided"] >= (kept["bid"].isna() | kept["ask"].isna()).sum()
    no_bid = (kept["bid"] == 0) & (kept["ask"] > 0.5)
    assert kinds["one_sided"] <= (kept["bid"].isna() | kept["ask"].isna() | no_bid).sum()
    assert kinds["good"] == (store.columns["q_flag"] == GOOD).sum()
    assert kinds["good"] > 0.5 * len(kept)


@pytest.mark.parametrize("name", CASES)
def test_quotes_read_back_are_the_files_cents(name, raw, market):
    case = CASES[name]
    m = market_of(market(case))
    _, kept = seen(case, raw(case))
    sample = kept.sample(min(SAMPLE, len(kept)), random_state=7)
    row_ns = m.row.ts
    days = m.ses.day[m.row.session]
    quote = np.zeros((3, 1), np.int32)
    contract_at = contracts_of(m)
    good, plain = 0, 0
    for line in sample.itertuples():
        contract = contract_at[key_of(line.expiration, line.root, line.strike, line.type)]
        if "timestamp" in sample.columns:
            row = int(np.flatnonzero(row_ns == line.row.value)[0])
        else:
            row = int(np.flatnonzero((days == day_number(line.day)) & (m.row.quoted == 1))[-1])
        leg_rows(m, contract, row, row + 1, quote)
        if quote[FLAG, 0] == GOOD:
            good += 1
            assert (quote[BID, 0], quote[ASK, 0]) == (round(line.bid * 100), round(line.ask * 100)), line
        else:
            plain += 0 < line.bid <= line.ask
    assert good > 0.5 * len(sample)
    kinds = quality(market(case))["quotes"]
    assert plain <= kinds["stale"] + kinds["impossible"]  # nothing in the row itself says why it is not good


def key_of(expiration, root, strike, right):
    return day_number(str(expiration)[:10]), root == "SPX", round(strike * 100), right == "call"


def contracts_of(m):
    """Contract of each (expiry day, settled in the morning, strike in cents, call)."""
    day, style = m.exp.day[m.con.expiry].tolist(), m.exp.style[m.con.expiry]
    keys = list(zip(day, style == CASH_AM, m.con.strike.tolist(), m.con.right == 1, strict=True))
    assert len(set(keys)) == len(keys)
    return {key: i for i, key in enumerate(keys)}


@pytest.mark.parametrize("name", CASES)
def test_bars_are_stamped_at_their_close_and_hold_the_files_prices(name, raw, market):
    case = CASES[name]
    m = market_of(market(case))
    bars = raw(case).bars
    daily = "timestamp" not in bars.columns
    assert (m.row.minute[m.ses.start] == 575).all()
    by_day = dict(list(bars[bars["day"].isin(days_of(m))].groupby("day")))
    for s in range(0, len(m.ses), max(1, len(m.ses) // 20)):
        session = by_day[days_of(m)[s]]
        first, last = m.row[m.ses.start[s]], m.row[last_bar(m, s)]
        assert last.minute == m.ses.close[s]
        if daily:
            assert (first.spot, last.spot) == (session["open"].iloc[0], session["close"].iloc[0])
            continue
        clock = session["timestamp"].dt.hour * 60 + session["timestamp"].dt.minute
        assert first.spot == session["close"][(clock >= 570) & (clock < 575)].iloc[-1]
        assert last.spot == session["close"][clock < m.ses.close[s]].iloc[-1]


def days_of(m):
    """ISO dates of a market's sessions."""
    return m.ses.day.astype("datetime64[D]").astype(str).tolist()


def last_bar(m, s):
    rows = np.arange(m.ses.start[s], m.ses.end[s])
    return int(rows[m.row.minute[rows] <= m.ses.close[s]][-1])


@pytest.mark.parametrize("name", CASES)
def test_marks_of_unusable_quotes_lie_within_the_payoffs_bounds(name, market):
    store = market(CASES[name])
    c = store.columns
    size = c["q_last"] - c["q_first"] + 1
    contract = np.repeat(np.arange(len(size)), size)
    snapshot = np.arange(size.sum()) - np.repeat(c["q_base"] - c["q_first"], size)
    marked = c["q_flag"] == BAD_MARKED
    spot = np.asarray(c["spot"])[c["q_row"]][snapshot]
    bound = np.where(c["c_right"][contract] == 1, spot, c["c_strike"][contract] / 100)
    mark = (c["q_bid"] + c["q_ask"]) / 200
    assert (mark[marked] >= 0).all()
    assert (mark[marked] <= bound[marked]).all()


@pytest.mark.parametrize("name", EVENING)
def test_evening_quotes_stand_15_minutes_after_the_close_with_their_own_spot(name, raw, market):
    case = CASES[name]
    c = market(case).columns
    rows = c["q_row"]
    assert set(c["minute"][rows].tolist()) == {975}
    spot = raw(case).quotes.groupby("day")["underlying_implied"].first()
    days = [str(np.datetime64(int(d), "D")) for d in c["s_day"][c["session"][rows]]]
    assert c["spot"][rows].tolist() == spot[days].tolist()
    decide = c["s_decide"][c["session"][rows]]
    assert set(c["minute"][decide].tolist()) == {945}


def test_a_selection_of_contracts_is_refused_for_strategy_returns(kit, raw, tmp_path):
    case = CASES["spy 2021"]
    each = raw(case).quotes.groupby("day").size().median()
    with pytest.raises(DataError, match=f"{each:.0f} contracts a snapshot.*a selection, not a chain"):
        import_market("standard", kit / case.bars, kit / case.chain, "m", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_two_underlyings_needs_a_choice_of_roots(kit, raw, tmp_path):
    case = CASES["snapshots spy"]
    raw(case)
    if table(kit / case.chain)["root"].nunique() < 2:
        pytest.skip("the snapshots of this kit have one root")
    with pytest.raises(DataError, match=r"different underlyings.*--root"):
        import_market("standard", kit / case.bars, kit / case.chain, "m", tmp_path)
    with pytest.raises(DataError, match="give bars of the chain's underlying"):
        import_market("standard", kit / case.bars, kit / case.chain, "m", tmp_path, root="SPX,SPXW")


@pytest.mark.parametrize("bars", APART)
def test_bars_of_other_dates_share_no_session_with_the_chain(bars, kit, raw, tmp_path):
    case = CASES["spy 2026"]._replace(bars=bars)
    if raw(case).shared:
        pytest.skip("in this kit they do share days")
    with pytest.raises(DataError, match=r"share no session: bars .* quotes .*; give bars of the chain's dates"):
        import_market("standard", kit / bars, kit / case.chain, "m", tmp_path, tz=NEW_YORK, stamp="start")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NO_BARS)
def test_files_that_are_no_bars_are_refused_for_the_right_reason(name, kit, raw, tmp_path):
    case = CASES["spxw 2018"]
    raw(case)
    if not (kit / name).is_file():
        pytest.skip(f"the kit has no {name}")
    with pytest.raises(DataError, match=NO_BARS[name]):
        import_market("standard", kit / name, kit / case.chain, "m", tmp_path, tz=NEW_YORK, stamp="start")
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_the_kit_is_left_out(kit):
    known = {name for case in (*CASES.values(), MIDS, OUTCOMES) for name in case[:2]} | set(APART) | set(NO_BARS)
    found = {p.name for p in kit.iterdir() if p.suffix in (".parquet", ".csv")}
    if found - known:
        pytest.skip(f"this kit has more files than these tests know: {', '.join(sorted(found - known))}")
    assert found


# ---------------------------------------------------------------- mids and outcomes


def test_mids_are_marks_to_the_half_cent_on_their_own_rows_and_none_is_a_quote(raw, market):
    store = market(MIDS)
    quotes = raw(MIDS).quotes
    quotes = quotes[quotes["day"].isin(raw(MIDS).shared)]
    kinds = quality(store)["quotes"]
    assert kinds["mark_only"] == quotes["call_mid"].notna().sum() + quotes["put_mid"].notna().sum()
    assert kinds["good"] == 0 and not (store.columns["q_flag"] == GOOD).any()
    m = market_of(store)
    bars, contract_at = raw(MIDS).bars.set_index("day"), contracts_of(m)
    quote = np.zeros((3, 1), np.int32)
    for line in quotes.sample(SAMPLE, random_state=7).itertuples():
        row = int(np.searchsorted(m.row.ts, line.timestamp.value))
        assert m.row[row].ts == line.timestamp.value
        daily = {575: "open", int(m.ses.close[m.row[row].session]): "close"}.get(int(m.row[row].minute))
        assert m.row[row].spot == (line.spx if daily is None else bars.loc[line.day, daily])
        for right, mid in (("call", line.call_mid), ("put", line.put_mid)):
            contract = contract_at[key_of(line.day, "SPXW", line.strike, right)]
            leg_rows(m, contract, row, row + 1, quote)
            assert quote[FLAG, 0] != GOOD
            if mid == mid:
                assert abs(quote[BID, 0] + quote[ASK, 0] - mid * 200) <= 0.5 + 1e-6


def test_outcomes_hold_entry_and_settlement_and_only_one_side_of_each_leg(raw, market):
    store = market(OUTCOMES)
    quotes = raw(OUTCOMES).quotes
    assert quality(store)["quotes"]["one_sided"] == 4 * len(quotes)
    assert not (store.columns["q_flag"] == GOOD).any()
    m = market_of(store)
    contract_at = contracts_of(m)
    settle = dict(zip(m.ses.day.tolist(), m.ses.settle.tolist(), strict=True))
    for line in quotes.itertuples():
        assert settle[day_number(line.day)] == line.spx_close
        entry = pd.Timestamp(f"{line.day} {line.entry_time}", tz=NEW_YORK).value
        row = int(np.searchsorted(m.row.ts, entry))
        assert (m.row[row].ts, m.row[row].spot) == (entry, line.spx_at_entry)
        for strike, right in (
            (line.long_put, "put"),
            (line.short_put, "put"),
            (line.short_call, "call"),
            (line.long_call, "call"),
        ):
            assert key_of(line.day, "SPXW", strike, right) in contract_at
