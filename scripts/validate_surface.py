"""How well the smiles fit real chains: SVI and SSVI against SPY's quotes, our volatilities against the vendor's.

    python scripts/validate_surface.py [--kit DIR] [--every N] [--json]

Every session of spy_chain_eod_2026.parquet, |delta| 0.05 to 0.50, 5 to 60 days. Errors are in half-spreads of each
quote; `held out` fits every other strike and looks at the rest. The spot is the one put-call parity gives.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.pricing.calibration import expiries_of
from core.pricing.chain import forward_delta, smile_quotes
from core.pricing.smile import SmileQuotes
from core.pricing.surface import errors_in_half_spreads, fit_ssvi, fit_surface, slice_vols, ssvi_vols

ROOT = Path(__file__).resolve().parent.parent
CHAIN = "spy_chain_eod_2026.parquet"
DTE = (5, 60)
DELTA = (0.05, 0.50)
RATE = 0.036  # bills in summer 2026 (3.6 %); parity takes up what it is off by
EVENING = 16.25  # hours: the quotes are those of 16:15 New York, options settle on 16:00 of their last day
LIMITS = {"svi": 1.0, "ssvi": 4.0}


def chain_of(day: pd.DataFrame) -> SmileQuotes:
    """The SmileQuotes of a session's 5 to 60 days."""
    day = day[(day["dte"] >= DTE[0]) & (day["dte"] <= DTE[1]) & (day["bid"] > 0) & (day["ask"] >= day["bid"])]
    years = (day["dte"].to_numpy(np.float64) + (16.0 - EVENING) / 24.0) / 365.0
    spot = float(day["underlying_implied"].iloc[0])
    return smile_quotes(day["strike"], day["type"] == "call", years, day["bid"], day["ask"], spot, RATE, True)


def chosen(quotes: SmileQuotes, mask: Any) -> SmileQuotes:
    return SmileQuotes(*(column[mask] for column in quotes))


def in_range(quotes: SmileQuotes) -> Any:
    delta = forward_delta(quotes)
    return (delta >= DELTA[0]) & (delta <= DELTA[1])


def session(quotes: SmileQuotes) -> list[dict[str, Any]]:
    """A row per expiry: median errors in half-spreads of each model, fitted and held out, and arbitrage left."""
    quotes = chosen(quotes, in_range(quotes))
    position = np.concatenate([np.arange(r.stop - r.start) for r in expiries_of(quotes)])
    train, rest = chosen(quotes, position % 2 == 0), chosen(quotes, position % 2 == 1)
    surface, half = fit_surface(quotes), fit_surface(train)
    errors = {
        "svi": (quotes, slice_vols(surface, quotes)),
        "ssvi": (quotes, ssvi_vols(fit_ssvi(quotes), quotes)),
        "svi_held_out": (rest, slice_vols(half, rest)),
        "ssvi_held_out": (rest, ssvi_vols(fit_ssvi(train), rest)),
    }
    rows = []
    for at in expiries_of(quotes):
        years = quotes.years[at.start]
        row: dict[str, Any] = {"dte": round(float(years) * 365.0), "quotes": at.stop - at.start}
        for name, (of, vols) in errors.items():
            mine = of.years == years
            row[name] = float(np.median(errors_in_half_spreads(of, vols)[mine]))
            row[f"{name}_points"] = float(np.median(np.abs(vols - of.vol)[mine])) * 100.0
        where = np.flatnonzero(surface.years == years)
        if len(where):
            row |= {
                "least_g": float(surface.least_g[where[0]]),
                "gap": float(surface.calendar_gap[where[0]]),
                "refitted": bool(surface.refitted[where[0]]),
            }
        rows.append(row)
    return rows


def vendor_gaps(day: pd.DataFrame, quotes: SmileQuotes) -> list[float]:
    """Median |our volatility - the vendor's| per expiry, vol points."""
    quotes = chosen(quotes, in_range(quotes))
    theirs = day[day["iv"] > 0].set_index(["dte", "strike", "type"])["iv"]
    gaps = []
    for rows in expiries_of(quotes):
        dte = round(float(quotes.years[rows.start]) * 365.0)
        kinds = np.where(quotes.is_call[rows], "call", "put")
        vendor = theirs.reindex(list(zip([dte] * len(kinds), quotes.strike[rows], kinds, strict=True))).to_numpy()
        gaps.append(float(np.nanmedian(np.abs(quotes.vol[rows] - vendor))) * 100.0)
    return gaps


def summary(rows: list[dict[str, Any]], gaps: list[float]) -> dict[str, float]:
    found: dict[str, float] = {"expiries": len(rows)}
    for name in ("svi", "ssvi", "svi_held_out", "ssvi_held_out"):
        values = np.array([row[name] for row in rows])
        limit = LIMITS[name.split("_")[0]]
        found[f"{name}_share_within_{limit:g}"] = float(np.mean(values <= limit))
        found[f"{name}_median"] = float(np.nanmedian(values))
    found["vendor_gap_median"] = float(np.median(gaps))
    found["vendor_gap_p90"] = float(np.percentile(gaps, 90))
    found["refitted"] = sum(row.get("refitted", False) for row in rows)
    found["butterflies_left"] = sum(row.get("least_g", 0.0) < 0.0 for row in rows)
    found["calendar_gaps_left"] = sum(row.get("gap", 0.0) > 1e-5 for row in rows)
    return found


def measured(kit: Path, every: int = 1) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of all expiries, and their summary, over every `every`-th session."""
    chain = pd.read_parquet(kit / CHAIN)
    rows: list[dict[str, Any]] = []
    gaps: list[float] = []
    for date, day in list(chain.groupby("date"))[::every]:
        quotes = chain_of(day)
        rows += [{"date": str(date)[:10], **row} for row in session(quotes)]
        gaps += vendor_gaps(day, quotes)
    return rows, summary(rows, gaps)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=Path, default=ROOT / "../shared/data", metavar="DIR")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th session only")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    rows, found = measured(args.kit, args.every)
    if args.json:
        print(json.dumps({"summary": found, "expiries": rows}))
        return 0
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    print("\n".join(f"{name:32} {value:8.3f}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
