"""What live fills were worth: each filled order against mid and natural when it was sent; the cost model that fits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from core.live.journal import JournalReader

FEWEST = 5


def fills_of(folder: Path) -> list[dict[str, Any]]:
    """Filled packages of an account: net, mid and natural in cents (positive: we pay), and the share that was won.

    share : 0 at natural, 1 at mid; NaN where mid and natural were the same or unknown. Fills come after the quotes
    that they are held against, so that a share beyond 0 to 1 is a market that moved.
    """
    reader = JournalReader(folder / "journal.sqlite")
    try:
        rows = reader.rows(
            "SELECT purpose, filled, orders.legs AS got, intent.legs AS wanted, seen, created_ns FROM orders "
            "JOIN intent USING(cid) WHERE filled > 0 ORDER BY created_ns"
        )
    finally:
        reader.close()
    found = []
    for row in rows:
        got, seen = json.loads(row["got"]), json.loads(row["seen"])
        wanted = json.loads(row["wanted"])
        if len(wanted) < 2 or seen.get("mid") is None or seen.get("natural") is None:
            continue
        net = sum(side * got[occ][1] / 100 for occ, side, *_ in wanted)
        gap = seen["natural"] - seen["mid"]
        found.append(
            {
                "ts_ns": row["created_ns"],
                "purpose": row["purpose"],
                "units": row["filled"],
                "net": round(net, 2),
                "mid": seen["mid"],
                "natural": seen["natural"],
                "feed": seen["feed"],
                "step": seen["step"],
                "share": (seen["natural"] - net) / gap if gap > 0 else math.nan,
            }
        )
    return found


def cost_value(folder: Path) -> dict[str, Any]:
    """The share of the half-spread that fills won, and the settings that say so; a DataError for too few."""
    fills = fills_of(folder)
    shares = {purpose: [f["share"] for f in fills if f["purpose"] == purpose] for purpose in ("open", "close", "roll")}
    known = np.array([f["share"] for f in fills if math.isfinite(f["share"])])
    if len(known) < FEWEST:
        raise DataError(
            f"{len(known)} fills with quotes beside them; {FEWEST} are the fewest from which costs are told. "
            "Trade on paper for longer"
        )
    clipped = np.clip(known, 0.0, 1.0)
    return {
        "fills": len(known), "feeds": sorted({f["feed"] for f in fills}), "median_share": float(np.median(known)),
        "mean_share": float(clipped.mean()), "standard_error": float(clipped.std(ddof=1) / math.sqrt(len(known))),
        "by_purpose": {k: float(np.nanmean(np.clip(v, 0, 1))) for k, v in shares.items() if np.isfinite(v).any()},
        "settings": {"costs.fill": "fraction", "costs.fraction": round(float(clipped.mean()), 3)},
    }  # fmt: skip


def cost_lines(value: dict[str, Any]) -> list[str]:
    purposes = ", ".join(f"{purpose} {share:.2f}" for purpose, share in value["by_purpose"].items())
    return [
        f"{value['fills']} fills against quotes of: {', '.join(value['feeds'])}",
        f"share of the way from natural to mid: mean {value['mean_share']:.2f} +- {value['standard_error']:.2f}, "
        f"median {value['median_share']:.2f} ({purposes})",
        f"backtest with: --set costs.fill=fraction --set costs.fraction={value['settings']['costs.fraction']}",
        "paper fills are a model of Alpaca's: they say how it fills, not how the exchange does",
    ]
