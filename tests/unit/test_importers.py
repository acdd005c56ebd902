"""Importers: what a file says reaches the store unchanged, and what it cannot say is refused in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from core.config import PRESETS
from core.errors import ConfigError, DataError
from core.market import writer
from core.market.build import Bars, five_minute
from core.market.calendar import NS_MINUTE, day_number, sessions_over
from core.market.import_generic import load_map, standard_monthly
from core.market.import_tables import Asked
from core.market.importers import READERS, import_market, roots_asked
from core.market.quality import (
    CROSSED,
    IMPOSSIBLE,
    MARK_ONLY,
    ONE_SIDED,
    ZERO_ZERO,
    classify,
    mark_stale,
)
from core.market.quality import GOOD as CLEAN
from core.market.quality import STALE as OLD
from core.market.store import market_of
from core.pricing.black_scholes import black_price
from core.quotes import leg_rows
from core.types import ASK, BAD_MARKED, BAD_UNMARKED, BID, FLAG, GOOD

NEW_YORK = "America/New_York"
SPRING = ("2026-03-06", "2026-03-09")  # clocks go forward on Sunday 2026-03-08
AUTUMN = ("2026-10-30", "2026-11-02")  # clocks go back on Sunday 2026-11-01
EXPIRY = "2026-03-20"


def bar_table(days, minutes=5, spot=600.0, zone=NEW_YORK, until=None):
    """Start-stamped bars of whole sessions as text with offsets; each closes 1 cent above its open."""
    tables = []
    for day in days:
        last = until or ("13:00" if day == "2025-11-28" else "16:00")
        ts = pd.date_range(f"{day} 09:30", f"{day} {last}", freq=f"{minutes}min", tz=zone, inclusive="left")
        tables.append(pd.DataFrame({"timestamp": ts}))
    table = pd.concat(tables, ignore_index=True)
    table["open"] = spot
    table["high"], table["low"], table["close"], table["volume"] = spot + 0.5, spot - 0.5, spot + 0.01, 100
    return table


def chain_table(days, expiry=EXPIRY, spot=600.0, strikes=21, root="SPY"):
    """End-of-day quotes of one expiry at a flat 20 %: strikes around the spot, 4 cents wide."""
    rows = []
    for day in days:
        years = (day_number(expiry) - day_number(day)) / 365
        for strike in spot + 5.0 * (np.arange(strikes) - strikes // 2):
            for right in ("call", "put"):
                price = round(black_price(right == "call", spot, strike, years, 0.2, 1.0), 2)
                rows.append((day, root, expiry, strike, right, max(price - 0.02, 0.0), price + 0.02, spot))
    return pd.DataFrame(rows, columns="date root expiration strike type bid ask underlying".split())


def written(path, table):
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(writer, "_flush", lambda path: None)


@pytest.fixture
def make(tmp_path):
    """Write tables, import them as market 'm' and return its store."""

    def make(bars=None, chain=None, name="m", form="standard", **options):
        bars = bar_table(SPRING) if bars is None else bars
        chain = chain_table(SPRING) if chain is None else chain
        paths = [
            t if isinstance(t, Path) else written(tmp_path / f, t)
            for t, f in ((bars, "bars.csv"), (chain, "chain.csv"))
        ]
        return import_market(form, *paths, name, tmp_path / "store", **{"stamp": "start", **options})

    return make


@pytest.fixture
def refused(make, tmp_path):
    """Import what must fail; the message has the words, and nothing is left behind."""

    def refused(*words, error=DataError, **options):
        with pytest.raises(error) as caught:
            make(**options)
        message = str(caught.value)
        assert [w for w in words if w not in message] == [], message
        assert "\n" not in message
        folder = tmp_path / "store"
        assert not folder.exists() or list(folder.iterdir()) == []

    return refused


def quality(store):
    return json.loads((store.path / "quality.json").read_text(encoding="utf-8"))


def changed(table, row, column, value):
    table = table.copy()
    table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return table


# ---------------------------------------------------------------- files that cannot be read


def test_a_missing_file_is_named(refused, tmp_path):
    refused("nowhere.csv", "no such file", bars=tmp_path / "nowhere.csv")
    refused("nowhere.parquet", "no such file", chain=tmp_path / "nowhere.parquet")


def test_a_truncated_parquet_file_is_told_as_such(refused, tmp_path):
    path = written(tmp_path / "chain.parquet", chain_table(SPRING))
    path.write_bytes(path.read_bytes()[:-400])
    refused("chain.parquet", "cannot be read", "is the file complete", chain=path)


def test_an_empty_file_and_one_without_rows_are_refused(refused, tmp_path):
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    refused("empty.csv", "cannot be read", chain=tmp_path / "empty.csv")
    refused("chain.csv", "no rows", chain=chain_table(SPRING).head(0))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_wrong_delimiter_is_seen_in_the_header(refused, tmp_path, mark):
    path = tmp_path / "bars.csv"
    bar_table(SPRING).to_csv(path, index=False, sep=mark)
    refused("bars.csv line 1", "one column", "commas between", bars=path)


def test_a_missing_column_is_named_with_those_there_are(refused):
    refused("chain.csv line 1", "no column ask", "bid", chain=chain_table(SPRING).drop(columns="ask"))
    refused("bars.csv line 1", "no column low", bars=bar_table(SPRING).drop(columns="low"))


def test_text_where_a_number_belongs_is_told_with_its_line_and_value(refused):
    refused("chain.csv line 7", "bid is 'n/a?'", chain=changed(chain_table(SPRING), 5, "bid", "n/a?"))
    refused("bars.csv line 2", "close is 'x'", bars=changed(bar_table(SPRING), 0, "close", "x"))
    refused("chain.csv line 3", "strike is", chain=changed(chain_table(SPRING), 1, "strike", -5))


def test_an_unknown_right_or_root_is_told_with_its_line(refused):
    refused("chain.csv line 4", "type is 'x'", "call or put", chain=changed(chain_table(SPRING), 2, "type", "x"))
    refused("chain.csv line 4", "root 'QQQ'", "--root", chain=changed(chain_table(SPRING), 2, "root", "QQQ"))


def test_dates_that_are_none_and_times_that_are_numbers_are_refused(refused):
    refused(
        "chain.csv line 5", "expiration is '3/20/2026'",
        chain=changed(chain_table(SPRING), 3, "expiration", "3/20/2026"),
    )  # fmt: skip
    refused("chain.csv line 5", "expiration is empty", chain=changed(chain_table(SPRING), 3, "expiration", None))
    bars = bar_table(SPRING)
    bars["timestamp"] = np.arange(len(bars)) * 300 + 1_772_807_400
    refused("bars.csv line 2", "is the number", bars=bars)


def test_rows_of_a_parquet_file_are_rows_and_its_dates_are_read(make, refused, tmp_path):
    table = chain_table(SPRING)
    for name in ("date", "expiration"):
        table[name] = pd.to_datetime(table[name]).dt.date  # Arrow's date type, not a time
    store = make(chain=written(tmp_path / "chain.parquet", table))
    assert quality(store)["quotes"]["good"] == len(table)
    shutil.rmtree(store.path)
    table.loc[3, "strike"] = np.nan
    refused("chain.parquet row 4", "strike", chain=written(tmp_path / "chain.parquet", table))


# ---------------------------------------------------------------- clocks


def test_naive_times_need_a_zone_and_the_zone_must_exist(refused):
    bars = bar_table(SPRING)
    bars["timestamp"] = bars["timestamp"].dt.tz_localize(None)
    refused("bars.csv", "no timezone", "--tz", bars=bars)
    refused("--tz Mars/Base", "no such timezone", bars=bars, tz="Mars/Base")


def test_a_wall_clock_time_that_clocks_skip_or_repeat_is_refused(refused):
    bars = bar_table(SPRING)
    bars["timestamp"] = bars["timestamp"].dt.tz_localize(None).astype(str)
    skipped = changed(bars, 3, "timestamp", "2026-03-08 02:30:00")
    refused("bars.csv line 5", "02:30", "does not exist", "forward", bars=skipped, tz=NEW_YORK)
    repeated = changed(bars, 4, "timestamp", "2026-11-01 01:30:00")
    refused("bars.csv line 6", "01:30", "happens twice", "back", bars=repeated, tz=NEW_YORK)


@pytest.mark.parametrize(("days", "expiry"), [(SPRING, EXPIRY), (AUTUMN, "2026-11-20")])
def test_sessions_on_both_sides_of_a_clock_change_have_the_right_utc(make, days, expiry):
    aware = bar_table(days)
    naive = aware.assign(timestamp=aware["timestamp"].dt.tz_localize(None))
    utc = aware.assign(timestamp=aware["timestamp"].dt.tz_convert("UTC"))
    chain = chain_table(days, expiry)
    stores = [
        make(aware, chain),  # text with two different offsets
        make(naive, chain, tz=NEW_YORK),
        make(utc, chain, tz="Europe/Paris"),  # not asked: the times say their own zone
    ]
    assert len({s.hash for s in stores}) == 1
    columns = stores[0].columns
    hours = [14, 13] if days == SPRING else [13, 14]
    first = pd.to_datetime(columns["ts"][columns["s_start"]])
    assert [(t.hour, t.minute) for t in first] == [(h, 35) for h in hours]
    assert columns["minute"][columns["s_start"]].tolist() == [575, 575]
    assert columns["minute"][columns["s_end"] - 1].tolist() == [960, 960]
    assert columns["s_offset"].tolist() == [60 * (9 - h) for h in hours]


def test_times_with_and_without_offsets_do_not_mix(refused):
    bars = bar_table(SPRING)
    bars["timestamp"] = bars["timestamp"].astype(str)
    refused(
        "bars.csv line 4", "without the UTC offset",
        bars=changed(bars, 2, "timestamp", "2026-03-06 09:40:00"), tz=NEW_YORK,
    )  # fmt: skip


def test_start_and_end_stamped_bars_of_one_market_are_the_same_market(make):
    bars = bar_table(SPRING)
    late = bars.assign(timestamp=bars["timestamp"] + pd.Timedelta(minutes=5))
    assert make(bars, stamp="start").hash == make(late, stamp="end").hash


def test_where_bars_are_stamped_is_never_guessed(refused):
    refused("bars.csv", "--stamp start|end", stamp=None)
    refused("bars.csv", "15 minutes apart", bars=bar_table(SPRING, minutes=15))


def test_a_half_day_ends_at_its_own_close(make):
    days = ("2025-11-26", "2025-11-28")
    store = make(bar_table(days), chain_table(days, "2025-12-19"))
    columns = store.columns
    assert columns["s_close"].tolist() == [960, 780]
    assert columns["minute"][columns["s_end"] - 1].tolist() == [960, 780]
    assert columns["minute"][columns["q_row"]].tolist() == [960, 780]
    assert quality(store)["bars"]["missing_bars"] == 0
    assert quality(store)["bars"]["sessions_missing"] == 0  # Thanksgiving between them is no session


def test_bars_after_an_early_close_are_extended_hours(make):
    days = ("2025-11-28",)
    store = make(bar_table(days, until="16:00"), chain_table(days, "2025-12-19"))
    assert quality(store)["bars"]["extended_hours_dropped"] == 36
    assert len(store.columns["ts"]) == 42


def test_quotes_dated_on_a_holiday_are_refused_with_their_line(refused):
    chain = chain_table(("2025-11-26", "2025-11-27"), "2025-12-19")
    refused("chain.csv line 44", "2025-11-27", "not a trading session", chain=chain, bars=bar_table(("2025-11-26",)))


# ---------------------------------------------------------------- bars


def test_extended_hours_are_dropped_and_counted(make):
    whole = bar_table(SPRING)
    early = whole.head(12).assign(timestamp=whole["timestamp"].head(12) - pd.Timedelta(hours=2))
    store = make(pd.concat([early, whole]))
    assert quality(store)["bars"]["extended_hours_dropped"] == 12
    assert store.hash == make(whole, name="m").hash


def test_five_one_minute_bars_make_one(make):
    bars = bar_table(SPRING, minutes=1)
    bars.loc[:4, "open"] = [600.0, 601, 602, 603, 604]
    bars.loc[:4, "high"] = [601.0, 602, 609, 604, 605]
    bars.loc[:4, "low"] = [599.0, 600, 601, 595, 603]
    bars.loc[:4, "close"] = [601.0, 602, 603, 604, 604.5]
    columns = make(bars).columns
    assert len(columns["ts"]) == 2 * 78
    first = [float(columns[n][0]) for n in ("open", "high", "low", "spot", "volume")]
    assert first == [600.0, 609.0, 595.0, 604.5, 500.0]
    assert columns["minute"][0] == 575


def test_of_duplicate_bars_the_later_stays_and_they_are_counted(make):
    bars = bar_table(SPRING)
    again = bars.iloc[[3]].assign(close=600.3)
    store = make(pd.concat([bars, again]))
    assert quality(store)["bars"]["duplicate_bars"] == 1
    assert store.columns["spot"][3] == 600.3
    assert store.columns["volume"][3] == 100


def test_gaps_are_reported(make):
    days = ("2026-03-05", "2026-03-06", "2026-03-09")
    bars = bar_table(days)
    holed = bars.drop(index=[*range(5, 9), *range(78, 156)])
    report = quality(make(holed))["bars"]
    assert (report["missing_bars"], report["sessions_with_gaps"]) == (4, 1)
    assert report["sessions_with_gaps_first"] == ["2026-03-05"]
    assert report["sessions_missing_first"] == ["2026-03-06"]


@pytest.mark.parametrize(("column", "value"), [("high", 599.0), ("low", 601.0), ("close", 0.0), ("open", np.nan)])
def test_a_bar_whose_prices_contradict_each_other_is_dropped_and_counted(make, column, value):
    bars = bar_table(SPRING)
    bars.loc[2, column] = value
    report = quality(make(bars))["bars"]
    assert (report["bad_ohlc_dropped"], report["missing_bars"]) == (1, 1)


def test_bars_outside_every_session_are_refused(refused):
    bars = bar_table(("2026-03-06",))
    bars["timestamp"] = bars["timestamp"] + pd.Timedelta(hours=12)
    refused("bars.csv", "no bar lies inside", "--tz", bars=bars)


def test_a_daily_file_gives_an_opening_row_and_the_close(make, refused):
    days = pd.DataFrame({"date": SPRING, "open": 599.0, "high": 605.0, "low": 595.0, "close": [600.0, 601.0]})
    columns = make(days, stamp=None).columns
    assert columns["minute"].tolist() == [575, 960, 575, 960]
    assert columns["spot"].tolist() == [599.0, 600.0, 599.0, 601.0]
    assert columns["s_settle"].tolist() == [600.0, 601.0]


def test_a_day_given_twice_is_refused(refused):
    days = pd.DataFrame({"date": SPRING[:1] * 2, "open": 599.0, "high": 605.0, "low": 595.0, "close": 600.0})
    refused("bars.csv", "2026-03-06 stands twice", bars=days)


def test_official_closes_and_rates_come_from_their_own_files(make, tmp_path):
    closes = pd.DataFrame({"date": SPRING, "open": 599.0, "high": 605.0, "low": 595.0, "close": [600.5, 600.6]})
    rates = pd.DataFrame({"date": ["2026-03-06", "2026-03-09"], "dtb3_pct": [4.0, None], "dff_pct": [5.0, None]})
    store = make(closes=written(tmp_path / "c.csv", closes), rates=written(tmp_path / "r.csv", rates))
    assert store.columns["s_settle"].tolist() == [600.5, 600.6]
    assert store.columns["s_rate"] == pytest.approx(np.log(1.04))


# ---------------------------------------------------------------- VIX

VIX_DAYS = ("2026-03-04", "2026-03-05", "2026-03-06", "2026-03-09")


def vix_table(days=VIX_DAYS, vix=(14.0, 15.0, 16.0, 17.0), **more):
    return pd.DataFrame({"date": days, "vix_close": vix, **more})


def by_minute(store, name, day):
    """{minute of the day: value} of one session's rows."""
    columns = store.columns
    rows = columns["s_day"][columns["session"]] == day_number(day)
    return dict(zip(columns["minute"][rows].tolist(), columns[name][rows].tolist(), strict=True))


@pytest.fixture
def with_vix(make, tmp_path):
    """Import the usual market with a VIX file."""

    def with_vix(table, file="vix.csv", **options):
        return make(vix=written(tmp_path / file, table), **options)

    return with_vix


def test_a_daily_vix_close_is_seen_from_its_sessions_close_on_and_not_before(with_vix):
    """Friday's rows know Thursday's 15 until 16:00, Monday's know Friday's 16."""
    store = with_vix(vix_table())
    for day, before, own in (("2026-03-06", 15.0, 16.0), ("2026-03-09", 16.0, 17.0)):
        seen = by_minute(store, "vix", day)
        assert {v for minute, v in seen.items() if minute < 960} == {before}
        assert {v for minute, v in seen.items() if minute >= 960} == {own}


def test_vix_of_later_days_changes_no_row_before_their_close(with_vix):
    whole = with_vix(vix_table(), name="whole")
    poisoned = with_vix(vix_table(vix=(14.0, 15.0, 16.0, 99.0)), name="poisoned")
    cut = with_vix(vix_table(VIX_DAYS[:3], (14.0, 15.0, 16.0)), name="cut")
    before = whole.columns["ts"] < whole.columns["ts"][whole.columns["minute"] >= 960].max()
    assert before.sum() > 100
    for other in (poisoned, cut):
        assert other.columns["vix"][before].tolist() == whole.columns["vix"][before].tolist()
    assert poisoned.columns["vix"][-1] == 99.0
    assert cut.columns["vix"][-1] == 16.0


def test_on_a_half_day_the_vix_close_is_seen_from_one_oclock(with_vix):
    days = ("2025-11-26", "2025-11-28")
    bars, chain = bar_table(days), chain_table(days, "2025-12-19")
    store = with_vix(vix_table(days, (17.0, 18.0)), bars=bars, chain=chain)
    seen = by_minute(store, "vix", "2025-11-28")
    assert seen[775] == 17.0
    assert seen[780] == 18.0


def test_a_vix_of_a_day_without_a_session_is_seen_when_that_day_is_over(with_vix):
    store = with_vix(vix_table(("2026-03-06", "2026-03-08", "2026-03-09"), (15.0, 16.0, 17.0)))
    assert by_minute(store, "vix", "2026-03-06")[960] == 15.0
    assert by_minute(store, "vix", "2026-03-09")[575] == 16.0


def test_a_vix_more_than_seven_days_old_is_unknown(with_vix):
    def on_monday(day):
        return by_minute(with_vix(vix_table((day,), (15.0,))), "vix", "2026-03-09")[600]

    assert on_monday("2026-03-02") == 15.0
    assert np.isnan(on_monday("2026-03-01"))


def test_an_empty_vix_lets_the_close_before_it_stand(with_vix):
    store = with_vix(vix_table(vix=(14.0, None, 16.0, 17.0), vix3m_close=(18.0, 19.0, None, None)))
    assert by_minute(store, "vix", "2026-03-06")[600] == 14.0
    assert set(by_minute(store, "vix3m", "2026-03-09").values()) == {19.0}


def test_quality_counts_the_sessions_whose_every_row_has_a_vix(with_vix):
    report = quality(with_vix(vix_table(VIX_DAYS[2:], (16.0, 17.0), vix3m_close=(None, 19.0))))["vix"]
    counts = {"sessions": 2, "sessions_with_vix": 1, "sessions_with_vix3m": 0}
    assert report == {"values": "daily closes", **counts}


def test_a_market_without_a_vix_file_knows_no_vix_and_says_nothing_of_it(make, with_vix):
    bare, full = make(name="bare"), with_vix(vix_table(), name="full")
    assert np.isnan(bare.columns["vix"]).all() and np.isnan(bare.columns["vix3m"]).all()
    assert "vix" not in quality(bare) and "vix" not in bare.manifest["source"]
    assert full.manifest["source"]["vix"] == "vix.csv"
    assert full.hash != bare.hash
    assert np.isnan(full.columns["vix3m"]).all()
    same = [n for n in bare.columns if n != "vix" and bare.columns[n].tobytes() == full.columns[n].tobytes()]
    assert len(same) == len(bare.columns) - 1


def test_columns_of_other_names_and_cboes_dates_are_read(with_vix):
    table = pd.DataFrame({"DATE": ["03/05/2026", "03/06/2026"], "CLOSE": [15.0, 16.0], "LONG": [18.0, 19.0]})
    store = with_vix(table, vix_names=("CLOSE", "LONG"))
    assert by_minute(store, "vix", "2026-03-06")[955] == 15.0
    assert by_minute(store, "vix3m", "2026-03-09")[960] == 19.0


def vix_bars(days=SPRING, minutes=60):
    """Start-stamped bars from 09:30 on that close at 10, 11, 12, ..."""
    ts = [pd.date_range(f"{d} 09:30", f"{d} 16:00", freq=f"{minutes}min", tz=NEW_YORK, inclusive="left") for d in days]
    return pd.concat(pd.DataFrame({"timestamp": t, "close": 10.0 + np.arange(len(t))}) for t in ts)


def test_a_vix_bar_is_seen_when_it_ends(with_vix):
    seen = by_minute(with_vix(vix_bars()), "vix", "2026-03-09")
    assert seen[575] == 16.0  # the last bar of Friday began at 15:30, the tenth minute before ten is still its
    assert [seen[minute] for minute in (625, 630, 685, 690)] == [16.0, 10.0, 10.0, 11.0]
    ends = vix_bars().assign(timestamp=lambda t: t["timestamp"] + pd.Timedelta(minutes=60))
    bars = bar_table(SPRING).assign(timestamp=lambda t: t["timestamp"] + pd.Timedelta(minutes=5))
    assert by_minute(with_vix(ends, bars=bars, stamp="end"), "vix", "2026-03-09") == seen


def test_vix_bars_of_two_lengths_are_refused(refused, tmp_path):
    mixed = pd.concat([vix_bars(SPRING[:1], 60), vix_bars(SPRING[1:], 5)])
    words = ("bars are 5 minutes apart, but 60 on 2026-03-06", "--stamp end")
    refused("vix.csv", *words, vix=written(tmp_path / "vix.csv", mixed))


@pytest.mark.parametrize(
    ("table", "words", "names"),
    [
        (vix_table(vix=(0.14, 0.15, 0.16, 0.17)), ("line 2", "vix_close is 0.14", "index points"), ()),
        (vix_table(vix=(14.0, "high", 16.0, 17.0)), ("line 3", "'high'"), ()),
        (vix_table(days=("2026-03-06",) * 4), ("2026-03-06 has two values", "give one"), ()),
        (vix_table(days=("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07")), ("2024-03-07", "market's time"), ()),
        (vix_table().rename(columns={"vix_close": "level"}), ("no column vix_close", "--vix-columns"), ()),
        (vix_table(), ("no column CLOSE", "it has date, vix_close"), ("CLOSE",)),
        (vix_table().rename(columns={"date": "day"}), ("no column date",), ()),
        (vix_table(vix=(None,) * 4), ("no row of the market has a VIX",), ()),
    ],
)
def test_a_vix_file_that_cannot_be_used_is_told_with_its_remedy(refused, tmp_path, table, words, names):
    refused("vix.csv", *words, vix=written(tmp_path / "vix.csv", table), vix_names=names)


# ---------------------------------------------------------------- chains that are none


def test_a_chain_with_one_side_missing_is_refused(refused):
    chain = chain_table(SPRING, strikes=60)
    refused("chain.csv", "no puts", "both sides", chain=chain[chain["type"] == "call"])
    refused("chain.csv", "no calls", chain=chain[chain["type"] == "put"])


def test_chain_and_bars_without_a_common_day_are_refused(refused):
    refused(
        "share no session", "2026-03-06", "2026-03-11", "give bars of the chain's dates",
        chain=chain_table(("2026-03-11",)),
    )  # fmt: skip
    days = pd.DataFrame({"date": ["2020-01-02"], "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0})
    refused("share no session", "2020-01-02", bars=days)


def test_contracts_picked_from_a_chain_are_refused_unless_stored_as_thin(make, refused):
    chain = chain_table(SPRING, strikes=10)
    refused("20 contracts a snapshot", "a selection, not a chain", "--thin", chain=chain)
    store = make(chain=chain, thin=True)
    assert store.manifest["thin"] is True


def test_two_underlyings_in_one_file_need_a_choice(make, refused):
    chain = pd.concat([chain_table(SPRING), chain_table(SPRING, spot=6000.0, root="SPXW")])
    refused("SPXW, SPY", "different underlyings", "--root", chain=chain)
    store = make(chain=chain, root="spy")
    assert list(store.manifest["roots"]) == ["SPY"]
    assert quality(store)["reader"] == {"rows_of_other_roots": 84}


def test_a_root_that_is_not_there_or_not_known_is_refused(refused):
    refused("chain.csv", "no quotes of root SPX", "it holds SPY", root="SPX")
    refused("--root TSLA", "SPY", root="TSLA", error=ConfigError)
    assert roots_asked("spx, spxw") == ("SPX", "SPXW")


def test_bars_of_another_underlying_are_refused(refused):
    refused("chain.csv", "600", "bars.csv", "6000", "underlying", bars=bar_table(SPRING, spot=6000.0))


def test_an_unknown_format_and_a_bad_name_are_refused(refused):
    refused("'standrd'", "did you mean 'standard'", form="standrd", error=ConfigError)
    refused("--name '../m'", name="../m", error=ConfigError)


# ---------------------------------------------------------------- quotes


def quotes_of(*rows):
    """classify() on (bid, ask) pairs of a 600 put with the spot at 600 and delta -0.3."""
    bid, ask = np.array(rows, float).T
    n = len(bid)
    return classify(bid, ask, np.full(n, 600.0), np.zeros(n, bool), np.full(n, 600.0), np.full(n, -0.3), None, 1.0)


def test_each_kind_of_bad_quote_is_told_apart():
    nan, inf = np.nan, np.inf
    assert quotes_of((1.0, 1.1), (0.0, 0.05), (0.0, 0.50), (1.0, 1.0)).tolist() == [CLEAN] * 4
    assert quotes_of((0.0, 0.0)).tolist() == [ZERO_ZERO]
    assert quotes_of((1.1, 1.0), (0.05, 0.0)).tolist() == [CROSSED] * 2
    assert quotes_of((0.0, 0.51), (nan, 0.05), (1.0, nan), (nan, nan)).tolist() == [ONE_SIDED] * 4
    assert quotes_of((-1.0, 1.0), (0.0, -1.0), (1.0, inf), (inf, inf), (631.0, 640.0)).tolist() == [IMPOSSIBLE] * 5


def test_a_mark_alone_is_no_quote():
    one, nan = np.ones(3), np.array([np.nan, np.nan, 1.0])
    code = classify(nan, nan, one * 600, one > 2, one * 600, one * -0.3, np.array([1.5, np.nan, 1.5]), 1.0)
    assert code.tolist() == [MARK_ONLY, ONE_SIDED, CLEAN]


def test_a_quote_that_ignores_the_market_is_stale():
    code = np.zeros(4, np.uint8)
    bid, ask = np.array([2.0, 2.0, 2.0, 2.01]), np.array([2.04, 2.04, 2.04, 2.05])
    spot = np.array([600.0, 600.3, 610.0, 620.0])
    mark_stale(code, bid, ask, np.full(4, -0.3), spot, np.array([-1, 0, 1, 2]))
    assert code.tolist() == [CLEAN, CLEAN, OLD, CLEAN]  # 9 cents are within doubt, $2.91 are not


BAD = {  # kind: row of the second session's chain, bid, ask
    "zero_zero": (42 + 10, 0.0, 0.0),
    "crossed": (42 + 13, 9.0, 8.0),
    "one_sided": (42 + 17, 0.0, 40.0),
    "impossible": (42 + 24, 700.0, 710.0),
}


def spoiled():
    chain = chain_table(SPRING)
    chain["bid"], chain["ask"] = chain["bid"].round(2), chain["ask"].round(2)
    for row, bid, ask in BAD.values():
        chain.loc[row, ["bid", "ask"]] = bid, ask
    return chain


def cells(store):
    """(contract's strike in $, right, snapshot, flag, bid, ask) of every quote cell."""
    c = store.columns
    size = c["q_last"] - c["q_first"] + 1
    contract = np.repeat(np.arange(len(size)), size)
    snapshot = np.arange(size.sum()) - np.repeat(c["q_base"] - c["q_first"], size)
    return c["c_strike"][contract] / 100, c["c_right"][contract], snapshot, c["q_flag"], c["q_bid"], c["q_ask"]


def test_bad_quotes_are_counted_and_none_is_good(make):
    chain = spoiled()
    store = make(chain=chain)
    report = quality(store)
    assert {k: report["quotes"][k] for k in BAD} == dict.fromkeys(BAD, 1)
    assert sum(report["quotes"].values()) == report["rows_read"] == len(chain)
    strike, right, snapshot, flag, bid, ask = cells(store)
    bad = set()
    for row, _, _ in BAD.values():
        at = (strike == chain["strike"][row]) & (right == (chain["type"][row] == "call")) & (snapshot == 1)
        assert at.sum() == 1
        bad.add(int(np.flatnonzero(at)[0]))
    assert set(np.flatnonzero(flag != GOOD).tolist()) == bad
    good = flag == GOOD
    assert (bid[good] <= ask[good]).all() and (ask[good] > 0).all()


def test_fallback_marks_lie_within_the_payoffs_bounds_and_near_the_price(make):
    store = make(chain=spoiled())
    strike, right, _, flag, bid, ask = cells(store)
    marked = flag == BAD_MARKED
    assert marked.sum() == len(BAD)
    mark = (bid[marked] + ask[marked]) / 200
    bound = np.where(right[marked] == 1, 600.0, strike[marked])
    assert ((mark >= 0) & (mark <= bound)).all()
    true = [
        black_price(r == 1, 600.0, k, 11 / 365, 0.2, 1.0) for k, r in zip(strike[marked], right[marked], strict=True)
    ]
    assert mark == pytest.approx(true, abs=0.05)


def test_a_stale_quote_in_a_store_marks_but_is_not_good(make):
    first, second = chain_table(SPRING[:1]), chain_table(SPRING[1:], spot=610.0)
    same = chain_table(SPRING[1:])  # the grid of the first day, priced as if the spot had not moved
    stuck = same[(same["strike"] == 600.0) & (same["type"] == "put")].assign(underlying=610.0)
    stuck[["bid", "ask"]] = first.loc[(first["strike"] == 600.0) & (first["type"] == "put"), ["bid", "ask"]].to_numpy()
    moved = second[~((second["strike"] == 600.0) & (second["type"] == "put"))]
    bars = pd.concat([bar_table(SPRING[:1]), bar_table(SPRING[1:], spot=610.0)])
    store = make(bars, pd.concat([first, moved, stuck]).assign(iv=0.2, delta=-0.5))
    assert quality(store)["quotes"]["stale"] == 1
    strike, right, _, flag, _, _ = cells(store)
    assert flag[(strike == 600) & (right == 0)].tolist() == [GOOD, BAD_MARKED]


def test_of_two_quotes_at_one_time_the_later_row_stays(make):
    chain = chain_table(SPRING)
    again = chain.iloc[[0]].assign(bid=51.0, ask=52.0)
    store = make(chain=pd.concat([chain, again]))
    assert quality(store)["quotes"]["duplicate"] == 1
    strike, right, snapshot, _, bid, ask = cells(store)
    at = (strike == 550) & (right == 1) & (snapshot == 0)
    assert (bid[at], ask[at]) == (5100, 5200)


def test_minute_quotes_are_seen_at_the_next_bar_and_the_last_one_counts(make):
    """Quotes stamped 09:25 (before the opening) and 09:30 to 09:36 are the close of those minutes."""
    tables = []
    for i, minute in enumerate((25, 30, 31, 32, 33, 34, 35, 36)):
        table = chain_table(SPRING[:1]).drop(columns="date")
        table["timestamp"] = f"2026-03-06 09:{minute}:00-05:00"
        table["ask"] += 0.01 * i
        tables.append(table)
    store = make(chain=pd.concat(tables))
    report = quality(store)
    assert report["rows_outside_the_bars"] == 42
    assert report["quotes"]["superseded"] == 5 * 42
    assert store.columns["q_row"].tolist() == [0, 1]
    assert store.manifest["kind"] == "table"
    last = tables[5].iloc[0]
    strike, right, snapshot, _, _, ask = cells(store)
    at = (strike == last["strike"]) & (right == 1)
    assert ask[at & (snapshot == 0)] == round(last["ask"] * 100)
    assert ask[at & (snapshot == 1)] == round(tables[7].iloc[0]["ask"] * 100)


def test_evening_quotes_are_known_at_the_close_or_15_minutes_after_it(make):
    plain = make().columns
    assert plain["minute"][plain["q_row"]].tolist() == [960, 960]
    late = make(chain=chain_table(SPRING).assign(underlying_implied=600.4)).columns
    assert late["minute"][late["q_row"]].tolist() == [975, 975]
    assert late["spot"][late["q_row"]].tolist() == [600.4, 600.4]
    assert late["minute"][late["s_decide"]].tolist() == [945, 945]


def test_deltas_the_file_lacks_come_from_each_strikes_own_smile(make):
    c = make().columns
    delta = c["q_delta"]
    assert np.isfinite(delta).all()
    strike, right, *_ = cells(make())
    at = strike == 600
    assert delta[at & (right == 1)] - delta[at & (right == 0)] == pytest.approx(1.0, abs=0.01)
    assert delta[at & (right == 1)] == pytest.approx(0.51, abs=0.02)


# ---------------------------------------------------------------- nothing is half-written


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_error_while_writing_leaves_the_old_store_as_it_was(make, tmp_path, monkeypatch):
    make()
    before = contents(tmp_path / "store")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_flush", full)
    with pytest.raises(DataError, match=r"No space left on device.*nothing was changed"):
        make(bar_table(SPRING, spot=601.0))
    assert contents(tmp_path / "store") == before
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["m"]


def test_a_rename_that_fails_brings_the_old_store_back(make, tmp_path, monkeypatch):
    make()
    before = contents(tmp_path / "store")
    rename = Path.rename

    def fails_once_built(self, target):
        if Path(target).name == "m" and self.name != "store":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_once_built)
    with pytest.raises(DataError, match="Permission denied"):
        make(bar_table(SPRING, spot=601.0))
    assert contents(tmp_path / "store") == before
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["m"]


def test_a_refused_import_leaves_an_older_market_alone(make, tmp_path):
    make()
    before = contents(tmp_path / "store")
    with pytest.raises(DataError, match="no puts"):
        make(chain=chain_table(SPRING, strikes=60).query("type == 'call'"))
    assert contents(tmp_path / "store") == before


def test_the_same_files_give_the_same_hash_and_a_new_store_replaces_the_old(make):
    first = make()
    assert make().hash == first.hash
    assert make(bar_table(SPRING, spot=600.02)).hash != first.hash


# ---------------------------------------------------------------- vendors


def read(form, path, text, **asked):
    path.write_text(text, encoding="utf-8")
    chain, notes = READERS[form][1](path, Asked(**asked))
    return chain, notes


def rows_of(chain):
    """(root, expiry, strike in $, right, bid, ask) of each row."""
    day = chain.day.astype("datetime64[D]").astype(str)
    right = np.where(chain.is_call, "C", "P")
    return list(zip(chain.root, day, chain.strike / 100, right, chain.bid, chain.ask, strict=True))


def utc(chain):
    return sorted(set(chain.ts.astype("datetime64[ns]").astype("datetime64[m]").astype(str)))


@pytest.mark.parametrize("path", sorted((PRESETS / "vendors").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_vendor_map_says_where_it_comes_from(path):
    facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"about", "source", "date", "checked"} <= set(facts)
    assert "not verified against the vendor" in facts["checked"]
    load_map(path)


def test_classic_marks_are_known_at_the_close_of_their_bar(tmp_path):
    head = (
        "timestamp,date,symbol,option_symbol,strike,expiration,contract_type,bid,ask,last_price,bid_size,ask_size,"
        "volume,open_interest,delta,gamma,theta,vega,implied_volatility\n"
    )
    row = "2025-01-02 {t}+00:00,2025-01-02,SPY,X,590,2025-01-17,{r},{b},{a},1,7,8,9,10,{d},0,0,0,0.18\n"
    text = head + "".join(
        row.format(t=t, r=r, b=b, a=a, d=d)
        for t in ("14:30:00", "14:35:00")
        for r, b, a, d in (("call", 5.1, 5.3, 0.5), ("put", 4.1, 4.3, -0.5))
    )
    chain, notes = read("classic", tmp_path / "marks.csv", text)
    assert rows_of(chain)[:2] == [
        ("SPY", "2025-01-17", 590.0, "C", 5.1, 5.3),
        ("SPY", "2025-01-17", 590.0, "P", 4.1, 4.3),
    ]
    assert utc(chain) == ["2025-01-02T14:35", "2025-01-02T14:40"]
    assert (chain.iv[0], chain.delta[1], chain.interest[0], chain.ask_size[0]) == (0.18, -0.5, 10, 8)
    assert notes["marks_moved_to_the_close_of_their_bar_minutes"] == 5
    naive = text.replace("+00:00", "")
    assert utc(read("classic", tmp_path / "marks.csv", naive)[0]) == utc(chain)


def test_classic_bars_are_utc_and_start_stamped_and_its_market_is_modelled(make, tmp_path):
    bars = bar_table(SPRING)
    bars["timestamp"] = bars["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    marks = chain_table(SPRING, strikes=21).rename(columns={"root": "symbol", "type": "contract_type"})
    marks["timestamp"] = marks.pop("date") + " 19:45:00"
    store = make(bars, marks.drop(columns="underlying"), form="classic", stamp=None)
    assert store.manifest["quotes"] == "modelled"
    assert store.columns["minute"][0] == 575
    assert store.columns["minute"][store.columns["q_row"]].tolist() == [900, 960]  # 14:45 and 15:45, 15 minutes on


OPTIONSDX = (
    "[QUOTE_UNIXTIME], [QUOTE_READTIME], [QUOTE_DATE], [QUOTE_TIME_HOURS], [UNDERLYING_LAST], [EXPIRE_DATE], "
    "[EXPIRE_UNIX], [DTE], [C_DELTA], [C_GAMMA], [C_VEGA], [C_THETA], [C_RHO], [C_IV], [C_VOLUME], [C_LAST], "
    "[C_SIZE], [C_BID], [C_ASK], [STRIKE], [P_BID], [P_ASK], [P_SIZE], [P_LAST], [P_DELTA], [P_GAMMA], [P_VEGA], "
    "[P_THETA], [P_RHO], [P_IV], [P_VOLUME], [STRIKE_DISTANCE], [STRIKE_DISTANCE_PCT]\n"
    "1704229200, 2024-01-02 16:00, 2024-01-02, 16.0, 472.65, 2024-01-19, 0, 17.0, 0.55, 0, 0, 0, 0, 0.12, 100, "
    "1, 3 x 12, 6.10, 6.20, 472.0, 4.80, 4.90, 10 x 40, 1, -0.45, 0, 0, 0, 0, 0.13, , 0, 0\n"
    "1704225600, 2024-01-02 16:00, 2024-01-02, 16.0, 472.65, 2024-01-26, 0, 24.0, , 0, 0, 0, 0, , 50, "
    "1, 5 x 5, , 0.05, 520.0, 47.0, 48.0, 1 x 1, 1, -0.99, 0, 0, 0, 0, 0.30, 7, 0, 0\n"
)


def test_optionsdx_rows_hold_both_rights_and_blanks_are_unknown(tmp_path):
    chain, notes = read("optionsdx", tmp_path / "spy_eod_202401.txt", OPTIONSDX)
    assert rows_of(chain)[::2] == [
        ("SPY", "2024-01-19", 472.0, "C", 6.1, 6.2),
        ("SPY", "2024-01-19", 472.0, "P", 4.8, 4.9),
    ]
    assert utc(chain) == ["2024-01-02T21:00"]
    assert np.isnan(chain.bid[1]) and chain.ask[1] == 0.05
    assert (chain.bid_size.tolist(), chain.ask_size.tolist()) == ([3, 5, 10, 1], [12, 5, 40, 1])
    assert (chain.volume.tolist(), chain.spot[0]) == ([100, 50, 0, 7], 472.65)
    assert np.isnan(chain.iv[1]) and np.isnan(chain.delta[1])
    assert notes == {"root_from_file_name": "SPY", "rows_whose_unixtime_is_not_their_readtime": 1}


def test_optionsdx_index_expiries_off_the_third_friday_are_spxw(tmp_path):
    chain, notes = read("optionsdx", tmp_path / "file.txt", OPTIONSDX, roots=("SPX",))
    assert chain.root.tolist() == ["SPX", "SPXW"] * 2
    assert notes["rows_taken_for_spxw"] == 2
    with pytest.raises(DataError, match=r"no column names the root.*--root"):
        read("optionsdx", tmp_path / "file.txt", OPTIONSDX)
    with pytest.raises(DataError, match=r"file.txt line 3: bid \(column \[C_BID\] or \[P_BID\]\) is 'oops'"):
        read("optionsdx", tmp_path / "file.txt", OPTIONSDX.replace(", 47.0,", ", oops,"), roots=("SPY",))


def test_monthly_index_expiries_are_third_fridays_their_saturdays_or_the_day_before_a_holiday():
    monthly = ["2024-01-19", "2014-01-18", "2014-04-17"]  # Good Friday 2014 was April 18
    weekly = ["2024-01-26", "2024-01-18", "2024-01-12", "2024-01-22"]
    assert standard_monthly(np.array([day_number(d) for d in monthly])).all()
    assert not standard_monthly(np.array([day_number(d) for d in weekly])).any()


IVOL_HEAD = (
    "symbol,exchange,date,underlying_price,option_symbol,expiration,strike,call_put,style,ask,bid,mean_price,volume,"
    "open_interest,iv,iv_raw,delta,gamma,vega,theta,rho,oi_2,option_id,trade_date_fetch\n"
)


def ivol_rows(volume, interest, date="2025-01-02"):
    return "".join(
        f"SPY,NYSEArca,{date},584.64,SPY   250221{r}00585000,2025-02-21,585,{r},A,{b + 0.1:.1f},{b},0,"
        f"{volume},{interest},0.15,0,{d},0,0,0,0,321,6543,1/2/2025\n"
        for r, b, d in (("C", 11.5, 0.52), ("P", 10.2, -0.48))
    )


def test_ivolatility_volume_and_interest_are_taken_from_where_they_were_shifted_to(tmp_path):
    chain, notes = read("ivolatility", tmp_path / "iv.csv", IVOL_HEAD + ivol_rows(0, 584.64))
    assert rows_of(chain) == [
        ("SPY", "2025-02-21", 585.0, "C", 11.5, 11.6),
        ("SPY", "2025-02-21", 585.0, "P", 10.2, 10.3),
    ]
    assert (chain.volume.tolist(), chain.interest.tolist()) == ([321, 321], [6543, 6543])
    assert "oi_2" in notes["columns_shifted"]
    assert utc(chain) == ["2025-01-02T21:00"]


def test_ivolatility_columns_that_are_right_stay(tmp_path):
    chain, notes = read("ivolatility", tmp_path / "iv.csv", IVOL_HEAD + ivol_rows(12, 900, "1/2/2025"))
    assert (chain.volume.tolist(), chain.interest.tolist(), notes) == ([12, 12], [900, 900], {})
    assert utc(chain) == ["2025-01-02T21:00"]


def test_the_shift_of_ivolatility_is_said_in_quality_json(make, tmp_path):
    chain = chain_table(SPRING)
    table = pd.DataFrame(
        {
            "symbol": "SPY",
            "date": chain["date"],
            "underlying_price": 600.0,
            "expiration": chain["expiration"],
            "strike": chain["strike"],
            "call_put": chain["type"].str[0].str.upper(),
            "bid": chain["bid"],
            "ask": chain["ask"],
            "volume": 0,
            "open_interest": 600.0,
            "oi_2": 5,
            "option_id": 77,
        }
    )
    store = make(chain=table, form="ivolatility")
    assert "shifted" in json.dumps(quality(store)["reader"])
    assert set(store.columns["q_interest"].tolist()) == {77}


def test_orats_quotes_are_14_minutes_before_the_close_and_its_delta_is_the_calls(tmp_path):
    text = (
        "ticker,stkPx,expirDate,yte,strike,cVolu,cOi,pVolu,pOi,cBidPx,cAskPx,pBidPx,pAskPx,cMidIv,pMidIv,delta,trade_date\n"
        "SPX,4700.5,1/19/2024,0.05,4700,11,12,13,14,50.1,50.9,45.2,46.0,0.12,0.121,0.53,1/2/2024\n"
        "SPX,4560.0,12/1/2023,0.05,4500,1,2,3,4,70.1,70.9,5.2,6.0,0.12,0.121,0.83,11/24/2023\n"
    )
    chain, notes = read("orats", tmp_path / "orats.csv", text)
    assert rows_of(chain) == [
        ("SPX", "2024-01-19", 4700.0, "C", 50.1, 50.9),
        ("SPXW", "2023-12-01", 4500.0, "C", 70.1, 70.9),
        ("SPX", "2024-01-19", 4700.0, "P", 45.2, 46.0),
        ("SPXW", "2023-12-01", 4500.0, "P", 5.2, 6.0),
    ]
    assert utc(chain) == ["2023-11-24T17:46", "2024-01-02T20:46"]  # the day after Thanksgiving closes at 13:00
    assert chain.delta[:2].tolist() == [0.53, 0.83] and np.isnan(chain.delta[2:]).all()
    assert (chain.volume.tolist(), chain.interest.tolist()) == ([11, 1, 13, 3], [12, 2, 14, 4])
    assert notes == {"rows_taken_for_spxw": 2}
    only, left = read("orats", tmp_path / "orats.csv", text, roots=("SPXW",))
    assert set(only.root) == {"SPXW"} and left["rows_of_other_roots"] == 2


CBOE = (
    "\n"
    '"S&P 500 INDEX (SPX)",Last: 4500.53,Change: 23.09\n'
    '"Date: {when}",Bid: 4499.1,Ask: 4502,Size: 1*1,Volume: 0\n'
    "Expiration Date,Calls,Last Sale,Net,Bid,Ask,Volume,IV,Delta,Gamma,Open Interest,Strike,"
    "Puts,Last Sale,Net,Bid,Ask,Volume,IV,Delta,Gamma,Open Interest\n"
    "Fri Feb 18 2022,SPX220218C04500000,60,1,61.2,62.0,5,0.18,0.51,0,100,4500.00,"
    "SPX220218P04500000,58,1,59.1,59.9,6,0.19,-0.49,0,200\n"
    "Mon Feb 07 2022,SPXW220207C04500000,30,1,20.2,20.6,7,0.17,0.50,0,300,4500.00,"
    "SPXW220207P04500000,18,1,19.1,19.4,8,0.17,-0.50,0,400\n"
)


def test_cboe_files_saved_on_a_saturday_hold_fridays_last_quotes(tmp_path):
    chain, notes = read("cboe", tmp_path / "q.csv", CBOE.format(when="February 5, 2022 at 12:07 AM EST"))
    assert rows_of(chain) == [
        ("SPX", "2022-02-18", 4500.0, "C", 61.2, 62.0),
        ("SPXW", "2022-02-07", 4500.0, "C", 20.2, 20.6),
        ("SPX", "2022-02-18", 4500.0, "P", 59.1, 59.9),
        ("SPXW", "2022-02-07", 4500.0, "P", 19.1, 19.4),
    ]
    assert utc(chain) == ["2022-02-04T21:15"]
    assert chain.spot.tolist() == [4500.53] * 4
    assert (chain.volume.tolist(), chain.interest.tolist()) == ([5, 7, 6, 8], [100, 300, 200, 400])
    assert chain.delta.tolist() == [0.51, 0.50, -0.49, -0.50]
    assert notes["saved"] == "2022-02-05T05:07:00Z"
    assert "underlying is the close" in notes["quotes_taken_as_of"]


def test_cboe_files_saved_during_a_session_are_known_then(tmp_path):
    chain, notes = read("cboe", tmp_path / "q.csv", CBOE.format(when="February 4, 2022 at 2:30 PM EST"), roots=("SPX",))
    assert utc(chain) == ["2022-02-04T19:30"]
    assert notes == {"saved": "2022-02-04T19:30:00Z", "rows_of_other_roots": 2}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Date: {when}", "no date", "no 'Date:"),
        ("Last: 4500.53", "4500.53", "no 'Last:"),
        ("Expiration Date", "Expiry", "no line starts with 'Expiration Date'"),
        ("SPX220218C04500000", "SPX call", "line 5: Calls is 'SPX call'"),
        ("61.2", "wide", "line 5: bid"),
    ],
)
def test_a_cboe_file_without_its_lines_is_refused(tmp_path, old, new, words):
    text = CBOE.replace(old, new).replace("{when}", "February 4, 2022 at 2:30 PM EST")
    with pytest.raises(DataError, match=words):
        read("cboe", tmp_path / "q.csv", text)


# ---------------------------------------------------------------- a column map

LONG_MAP = """
layout: long
delimiter: ";"
time: {column: quoted, format: "%d.%m.%Y %H:%M", timezone: America/Chicago}
expiration: {column: expires, format: "%d.%m.%Y"}
right: {column: kind, call: [K], put: [V]}
columns: {strike: level, bid: buy, ask: sell, iv: vol, underlying: spot}
constants: {root: SPY}
percent: [iv]
bars:
  time: {column: t, format: "%d.%m.%Y %H:%M", timezone: America/Chicago, stamp: end}
  columns: {open: o, high: h, low: l, close: c}
"""
LONG_CSV = (
    "quoted;expires;level;kind;buy;sell;vol;spot\n"
    "02.01.2024 15:00;19.01.2024;472.5;K;6.1;6.2;12.5;472.65\n"
    "02.01.2024 15:00;19.01.2024;472.5;V;4.8;4.9;13.5;472.65\n"
)


def with_map(tmp_path, text):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map_reads_any_column_names_formats_and_zones(tmp_path):
    chain, notes = read("generic", tmp_path / "x.csv", LONG_CSV, map_file=with_map(tmp_path, LONG_MAP))
    assert rows_of(chain) == [
        ("SPY", "2024-01-19", 472.5, "C", 6.1, 6.2),
        ("SPY", "2024-01-19", 472.5, "P", 4.8, 4.9),
    ]
    assert utc(chain) == ["2024-01-02T21:00"]
    assert chain.iv.tolist() == [0.125, 0.135]
    assert notes == {}


def test_a_map_reads_bars_too(tmp_path):
    path = tmp_path / "bars.csv"
    rows = "".join(f"02.01.2024 08:{m};1;3;0.5;2\n" for m in (35, 40, 45))
    path.write_text("t;o;h;l;c\n" + rows, encoding="utf-8")
    bars = READERS["generic"][0](path, Asked(map_file=with_map(tmp_path, LONG_MAP)))
    assert bars.ts[0] == pd.Timestamp("2024-01-02 14:35", tz="UTC").value
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]) == (1, 3, 0.5, 2, 0)


def test_a_wide_map_makes_two_contracts_of_a_row(tmp_path):
    plan = with_map(
        tmp_path,
        "layout: wide\ntime: {date: d, minutes_after_close: 15}\nexpiration: {column: x}\n"
        "columns: {strike: k, root: r}\n"
        "call: {bid: cb, ask: ca}\nput: {bid: pb, ask: pa}\n",
    )
    text = "d,x,k,r,cb,ca,pb,pa\n2024-01-02,2024-01-19,472,SPY,6.1,6.2,4.8,4.9\n"
    chain, _ = read("generic", tmp_path / "x.csv", text, map_file=plan)
    assert rows_of(chain) == [
        ("SPY", "2024-01-19", 472.0, "C", 6.1, 6.2),
        ("SPY", "2024-01-19", 472.0, "P", 4.8, 4.9),
    ]
    assert utc(chain) == ["2024-01-02T21:15"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("layout: long", "layuot: long", "unknown key 'layuot'; did you mean 'layout'"),
        ("strike: level", "srike: level", "unknown key columns.srike; did you mean 'strike'"),
        ("layout: long", "layout: tall", "layout is 'tall'"),
        ("expiration:", "#", "no expiration"),
        ("bid: buy, ", "", "strike, bid and ask"),
        ("{column: kind,", "{", "no right.column"),
        ("open: o, ", "", "no bars.columns.open"),
        ("stamp: end", "stmp: end", "unknown key bars.time.stmp; did you mean 'stamp'"),
    ],
)
def test_a_faulty_map_is_a_config_error(tmp_path, old, new, words):
    path = with_map(tmp_path, LONG_MAP.replace(old, new))
    (tmp_path / "x.csv").write_text("t;o;h;l;c\n02.01.2024 08:35;1;3;0.5;2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        READERS["generic"][0](tmp_path / "x.csv", Asked(map_file=path))


def test_a_map_that_names_an_absent_column_and_no_map_at_all_are_refused(tmp_path):
    path = with_map(tmp_path, LONG_MAP.replace("vol", "sigma"))
    with pytest.raises(DataError, match=r"x.csv line 1: no column sigma; it has quoted"):
        read("generic", tmp_path / "x.csv", LONG_CSV, map_file=path)
    with pytest.raises(ConfigError, match="--map"):
        read("generic", tmp_path / "x.csv", LONG_CSV)
    with pytest.raises(ConfigError, match=r"nowhere.yaml"):
        read("generic", tmp_path / "x.csv", LONG_CSV, map_file=tmp_path / "nowhere.yaml")


# ---------------------------------------------------------------- mids and outcomes


def test_mids_mark_to_the_half_cent_and_never_fill(make, tmp_path):
    text = "timestamp,date,spx,atm,strike,call_mid,put_mid\n"
    for clock in ("09:35", "10:00"):
        text += f"2026-03-06 {clock}:00-05:00,2026-03-06,6000.5,6000,6000,12.345,11.8\n"
        text += f"2026-03-06 {clock}:00-05:00,2026-03-06,6000.5,6000,6010,7.2,\n"
    path = tmp_path / "mids.csv"
    path.write_text(text, encoding="utf-8")
    days = pd.DataFrame({"date": SPRING[:1], "open": 6001.0, "high": 6020.0, "low": 5990.0, "close": 6010.0})
    store = make(days, path, form="mids", thin=True)
    columns = store.columns
    assert columns["minute"].tolist() == [575, 600, 960]  # snapshots between daily prices have rows of their own
    assert columns["spot"].tolist() == [6001.0, 6000.5, 6010.0]
    assert quality(store)["quotes"]["mark_only"] == 6
    assert quality(store)["quotes"]["good"] == 0
    strike, right, _, flag, bid, ask = cells(store)
    assert (flag[(strike == 6010) & (right == 0)] == BAD_UNMARKED).all()
    at = (strike == 6000) & (right == 1)
    assert (flag[at] == BAD_MARKED).all()
    assert (bid[at] + ask[at]).tolist() == [2469, 2469]
    m = market_of(store)
    call = int(np.flatnonzero((m.con.strike == 600000) & (m.con.right == 1))[0])
    quote = np.zeros((3, 3), np.int32)
    leg_rows(m, call, 0, 3, quote)
    assert (quote[BID] + quote[ASK]).tolist() == [2469, 2469, 2469]
    assert (quote[FLAG] == BAD_MARKED).all()


def test_outcomes_give_one_side_of_each_leg_and_the_settlement(make, tmp_path):
    text = (
        "date,entry_time,spx_at_entry,spx_close,short_call,long_call,short_put,long_put,"
        "short_call_bid,long_call_ask,short_put_bid,long_put_ask\n"
        "2026-03-06,14:00,6000.25,6011.5,6010,6020,5990,5980,1.2,0.4,1.5,0.6\n"
    )
    path = tmp_path / "outcomes.csv"
    path.write_text(text, encoding="utf-8")
    store = make(path, path, form="outcomes", thin=True, stamp=None)
    columns = store.columns
    assert columns["minute"].tolist() == [840, 960]
    assert columns["spot"].tolist() == [6000.25, 6011.5]
    assert columns["s_settle"].tolist() == [6011.5]
    assert quality(store)["quotes"]["one_sided"] == 4
    assert (columns["q_flag"] != GOOD).all()
    assert columns["c_strike"].tolist() == [598000, 599000, 601000, 602000]
    assert columns["e_session"].tolist() == [0]


# ---------------------------------------------------------------- the grid


def test_five_minute_bars_keep_their_grid_whatever_order_they_come_in():
    sessions = sessions_over(day_number("2026-03-06"), day_number("2026-03-06"))
    ts = sessions.open_ns[0] + np.arange(1, 79) * 5 * NS_MINUTE
    price = np.linspace(600, 610, 78)
    bars = Bars(ts, price, price, price, price, np.ones(78))
    order = np.random.default_rng(3).permutation(78)
    mixed, _ = five_minute(Bars(*(c[order] for c in bars)), sessions)
    assert all(np.array_equal(a, b) for a, b in zip(mixed, bars, strict=True))
