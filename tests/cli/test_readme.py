"""The README's commands for one's own data, on files in the layout that each names."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest

import main
from commands.data import FORMATS as KNOWN
from core.jit import ROOT
from core.market.store import open_store
from tests.unit.test_importers import bar_table, chain_table

README = (ROOT / "README.md").read_text(encoding="utf-8")
DAYS = ["2025-11-24", "2025-11-25"]
EXPIRY = "2025-12-19"
COMMANDS = re.findall(r"^python main\.py (data import .*)$", README, re.MULTILINE)
FORMATS = [line.split()[2] for line in COMMANDS]


def day_text(days, form):
    return pd.to_datetime(pd.Index(days)).strftime(form)


def wide(chain):
    """A row a strike: quotes of both rights beside each other."""
    calls, puts = (chain[chain.type == right].reset_index(drop=True) for right in ("call", "put"))
    return calls.assign(put_bid=puts.bid, put_ask=puts.ask)


def daily(folder, name, chain):
    spot = chain.groupby("date").underlying.first()
    pd.DataFrame(
        {"date": spot.index, "open": spot, "high": spot + 1, "low": spot - 1, "close": spot, "volume": 1}
    ).to_csv(folder / name, index=False)


def naive_bars(zone="America/New_York"):
    table = bar_table(DAYS)
    return table.assign(timestamp=table.timestamp.dt.tz_convert(zone).dt.tz_localize(None))


def standard(folder, chain):
    naive_bars().to_csv(folder / "spy_5min.csv", index=False)
    chain.to_csv(folder / "chain.csv", index=False)


def classic(folder, chain):
    naive_bars("UTC").to_csv(folder / "spy_bars.csv", index=False)
    marks = chain.rename(columns={"root": "symbol", "type": "contract_type"})
    marks["timestamp"] = marks.pop("date") + " 19:45:00"
    marks.drop(columns="underlying").to_csv(folder / "marks.csv", index=False)


def optionsdx(folder, chain):
    naive_bars().to_csv(folder / "spy_5min.csv", index=False)
    w = wide(chain)
    names = {
        "[QUOTE_READTIME]": w.date + " 16:00", "[UNDERLYING_LAST]": w.underlying, "[EXPIRE_DATE]": w.expiration,
        "[C_BID]": w.bid, "[C_ASK]": w.ask, "[STRIKE]": w.strike, "[P_BID]": w.put_bid, "[P_ASK]": w.put_ask,
    }  # fmt: skip
    pd.DataFrame(names).to_csv(folder / "spy_eod_202401.txt", index=False)


def orats(folder, chain):
    daily(folder, "spy_daily.csv", chain)
    w = wide(chain)
    names = {
        "ticker": w.root, "stkPx": w.underlying, "expirDate": day_text(w.expiration, "%m/%d/%Y"), "strike": w.strike,
        "cBidPx": w.bid, "cAskPx": w.ask, "pBidPx": w.put_bid, "pAskPx": w.put_ask,
        "trade_date": day_text(w.date, "%m/%d/%Y"),
    }  # fmt: skip
    pd.DataFrame(names).to_csv(folder / "strikes_20240102.csv", index=False)


def ivolatility(folder, chain):
    daily(folder, "spy_daily.csv", chain)
    names = {"root": "symbol", "type": "call_put", "underlying": "underlying_price"}
    table = chain.rename(columns=names).assign(volume=5, open_interest=50)
    table.assign(call_put=table.call_put.str[0].str.upper()).to_csv(folder / "SPY_2024.csv", index=False)


def cboe(folder, chain):
    daily(folder, "spy_daily.csv", chain)
    lines = [
        "", '"SPDR S&P 500 ETF TRUST (SPY)",Last: 600.0,Change: 1', '"Date: November 25, 2025 at 4:10 PM EST",Bid: 1',
        "Expiration Date,Calls,Bid,Ask,Strike,Puts,Bid,Ask",
    ]  # fmt: skip
    for row in wide(chain[chain.date == DAYS[-1]]).itertuples():
        code = f"SPY{day_text([row.expiration], '%y%m%d')[0]}{{}}{int(row.strike * 1000):08d}"
        lines.append(
            f"{day_text([row.expiration], '%a %b %d %Y')[0]},{code.format('C')},{row.bid},{row.ask},{row.strike},"
            f"{code.format('P')},{row.put_bid},{row.put_ask}"
        )
    (folder / "spy_quotedata.csv").write_text("\n".join(lines), encoding="utf-8")


def generic(folder, chain):
    """The README's own map, and files as it describes them."""
    (text,) = re.findall(r"```yaml\n(layout: long.*?)```", README, re.DOTALL)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    bars = naive_bars("America/Chicago")
    ends = (bars.timestamp + pd.Timedelta(minutes=5)).dt.strftime("%d.%m.%Y %H:%M")
    pd.DataFrame({"t": ends, "o": bars.open, "h": bars.high, "l": bars.low, "c": bars.close}).to_csv(
        folder / "mine.csv", sep=";", index=False
    )
    names = {
        "quoted": day_text(chain.date, "%d.%m.%Y") + " 15:00", "expires": day_text(chain.expiration, "%d.%m.%Y"),
        "kind": np.where(chain.type == "call", "K", "V"), "level": chain.strike, "buy": chain.bid, "sell": chain.ask,
        "vol": 20.0, "spot": chain.underlying,
    }  # fmt: skip
    pd.DataFrame(names).to_csv(folder / "mine_chain.csv", sep=";", index=False)


def mids(folder, chain):
    daily(folder, "spx_daily.csv", chain)
    w = wide(chain)
    names = {
        "timestamp": w.date + " 10:00:00-05:00", "date": w.date, "spx": w.underlying, "atm": 600.0, "strike": w.strike,
        "call_mid": w.bid, "put_mid": w.put_bid,
    }  # fmt: skip
    pd.DataFrame(names).to_parquet(folder / "mids.parquet")


def outcomes(folder, chain):
    rows = [(day, "10:00", 6000.0, 6001.0, 6050, 6075, 5950, 5925, 3.1, 1.2, 2.9, 1.1) for day in DAYS]
    names = (
        "date entry_time spx_at_entry spx_close short_call long_call short_put long_put "
        "short_call_bid long_call_ask short_put_bid long_put_ask"
    )
    pd.DataFrame(rows, columns=names.split()).to_csv(folder / "condors.csv", index=False)


def test_there_is_a_command_for_every_format():
    assert sorted(FORMATS) == sorted(KNOWN)


WRITERS = {w.__name__: w for w in (standard, classic, optionsdx, orats, ivolatility, cboe, generic, mids, outcomes)}


@pytest.mark.parametrize("line", COMMANDS, ids=FORMATS)
def test_the_readmes_import_makes_a_market(line, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QMTF_STORE_DIR", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    form = line.split()[2]
    WRITERS[form](tmp_path, chain_table(DAYS, EXPIRY))
    words = shlex.split(line)
    assert main.main(words) == 0, capsys.readouterr().err
    store = open_store(tmp_path / "store" / words[words.index("--name") + 1])
    assert len(store.columns["q_bid"]) > 0 and len(store.columns["ts"]) > 0
    assert main.main(["data", "describe", store.name]) == 0
    assert store.name in capsys.readouterr().out
