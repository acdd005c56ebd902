"""Does any layer of the intelligence pay? Each alone and all together, beside the mechanical strategy.

    python scripts/validate_intelligence.py [--market history] [--preset mtfuzz] [--cut DATE] [--json]

Every layer takes its settings from the preset and nothing else; the mechanical twin has the same size and costs. The
run is cut in two by date (60 % of the sessions by default). No number of the preset was fitted on either part. The
difference of daily returns comes with a 95 % interval by block bootstrap; with several layers looked at, one of them
may well stand out by luck: the last line says how large an interval would have to be for all of them together.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from backtest_engine import run  # noqa: E402
from core.config import Config, load  # noqa: E402
from core.errors import QuantorError  # noqa: E402
from core.market.catalog import open_market  # noqa: E402
from core.report.twin import compared, twin_of  # noqa: E402

# Layer -> the settings that make it up, by the ends of their paths.
LAYERS: dict[str, tuple[str, ...]] = {
    "timeframes": ("filters.consensus_min", "filters.consensus_max", "filters.stretch_max"),
    "fuzzy score": ("filters.score_min", "filters.confidence_min"),
    "regimes": ("filters.avoid_regimes", "exits.leave_regimes", "size.high_vol_factor"),
    "volatility": ("filters.vol_ratio_max", "entry.credit_iv_scale", "size.vol_floor"),
    "wider wings": ("entry.widen", "entry.widen_iv_rank", "entry.widen_regimes"),
    "expiry and strikes": ("entry.expiry_rule", "entry.skew_penalty"),
    "events": ("filters.avoid_events", "filters.event_days"),
    "breach chance": ("filters.max_breach", "exits.exit_breach"),
    "size by score": ("size.fuzzy_scale",),
    "scaled stop": ("exits.stop_scale",),
    "rolls": ("manage.tested_action", "manage.tested_distance"),
}


def layer_of(preset: Config, ends: tuple[str, ...]) -> Config:
    """The mechanical strategy at the preset's size, with the settings of one layer from the preset."""
    chosen = {f"strategy.{end}": preset[f"strategy.{end}"] for end in ends}
    return twin_of(preset).with_values("layer", **{path.replace(".", "__"): v for path, v in chosen.items()})


def compare(name: str, cut: str | None, preset_name: str) -> list[dict[str, Any]]:
    """One row per layer, and one for all of them."""
    preset = load(preset=preset_name, user_file=PROJECT / "no user settings", flags={"market.name": name})
    store = open_market(name, preset["market.seed"], lambda text: print(text, file=sys.stderr))
    mechanical = run(store, twin_of(preset))
    configs = {layer: layer_of(preset, ends) for layer, ends in LAYERS.items()} | {"all": preset}
    return [{"layer": layer, **compared(run(store, config), mechanical, cut)} for layer, config in configs.items()]


def line_of(row: dict[str, Any]) -> str:
    cells = [f"{row['layer']:19}"]
    for part in ("in_sample", "out_of_sample"):
        full, difference = row[part]["full"], row[part]["difference"]
        psr = "  n/a" if full["psr"] is None else f"{full['psr']:5.2f}"
        cells.append(f"{full['net_profit']:9,.0f} {psr} {full['trades']:4} {full['effective_trades'] or 0:5.0f}")
        low, high = (100.0 * difference[key] for key in ("low", "high"))
        cells.append(f"{100 * difference['annual_return']:+6.2f} ({low:+6.2f} {high:+6.2f})")
    cells.append(f"{row['out_of_sample']['difference']['p_value']:5.2f}")
    return "  ".join(cells)


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    first = rows[0]
    spans = [f"{first[part]['start']} to {first[part]['end']}" for part in ("in_sample", "out_of_sample")]
    head = "net $     PSR trades indep.  difference, % a year"
    found = [f"{'':19}  in sample: {spans[0]:46}  out of sample: {spans[1]}", f"{'layer':19}  {head}  {head}     p"]
    mechanical = {"layer": "mechanical"}
    for part in ("in_sample", "out_of_sample"):
        nothing = dict.fromkeys(("annual_return", "low", "high"), 0.0)
        mechanical[part] = {"full": first[part]["mechanical"], "difference": {**nothing, "p_value": 1.0}}
    found += [line_of(row) for row in (mechanical, *rows)]
    best = min(row["out_of_sample"]["difference"]["p_value"] for row in rows)
    found.append(
        f"smallest p {best:.3f}; with {len(rows)} looks (Bonferroni) {0.05 / len(rows):.4f} would be needed for a claim"
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--market", default="history", help="market to trade (default history)")
    parser.add_argument("--preset", default="mtfuzz", help="preset whose layers are taken apart (default mtfuzz)")
    parser.add_argument("--cut", metavar="DATE", help="first session out of sample (default: after 60 %% of them)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    try:
        rows = compare(args.market, args.cut, args.preset)
    except QuantorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"layers": rows}) if args.json else "\n".join(lines_of(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
