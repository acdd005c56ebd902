"""What `calibrate` shows and writes: a table of fits, the parameters as JSON, a picture of each smile."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from core.market.calendar import day_text
from core.market.snapshot import Chain
from core.pricing.calibration import expiries_of
from core.pricing.smile import Calibration
from core.pricing.surface import errors_in_half_spreads
from core.report.plots import PALETTE
from core.smiles import Smiles, rms, smile_functions

LOOK = {"svi": ("gain", "-"), "ssvi": ("loss", "--"), "sabr": ("second", ":"), "heston": ("edge", "-."),
        "merton": ("muted", "-"), "bates": ("ink", "--")}  # fmt: skip


def expiry_rows(chain: Chain, smiles: Smiles) -> list[dict[str, Any]]:
    """A dict per expiry: its quotes, forward, at-the-money volatility, and each model's median error."""
    quotes, rows = smiles.quotes, []
    for run in expiries_of(quotes):
        years = float(quotes.years[run.start])
        day = int(chain.expiry[np.argmin(np.abs(chain.years - years))])
        part = type(quotes)(*(column[run] for column in quotes))
        errors = {
            name: _median(errors_in_half_spreads(part, vol_at(part.strike)))
            for name, vol_at in smile_functions(smiles, years).items()
        }
        row = {
            "expiry": day_text(day),
            "dte": 365.0 * years,
            "quotes": run.stop - run.start,
            "forward": float(quotes.forward[run.start]),
            "median_error_half_spreads": errors,
        }
        at = np.flatnonzero(smiles.surface.years == years)
        if len(at):
            i = at[0]
            functions = smile_functions(smiles, years)
            row |= {
                "at_the_money_vol": float(functions["svi"](np.array([row["forward"]]))[0]),
                "svi": dict(zip(("a", "b", "rho", "m", "sigma"), smiles.surface.slices[i].tolist(), strict=True)),
                "least_g": float(smiles.surface.least_g[i]),
                "calendar_gap": float(smiles.surface.calendar_gap[i]),
                "refitted": bool(smiles.surface.refitted[i]),
            }
        if years in smiles.sabr:
            row["sabr"] = smiles.sabr[years].parameters
        rows.append(row)
    return rows


def _median(values: Any) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def fit_value(fitted: Calibration) -> dict[str, Any]:
    """A joint fit for JSON: parameters with errors, and how far it misses."""
    return {
        "parameters": fitted.parameters,
        "standard_errors": fitted.standard_errors,
        "rms_vol_points": rms(fitted.vol_error),
        "rms_cents": rms(fitted.price_error_cents),
        "median_half_spreads": _median(fitted.half_spreads),
        "at_bound": list(fitted.at_bound),
        "starts_agreeing": fitted.starts_agreeing,
        "starts": fitted.starts,
        "quotes": len(fitted.vol_error),
    }


def calibration_value(chain: Chain, smiles: Smiles) -> dict[str, Any]:
    """Everything `calibrate` found, as one JSON object."""
    value: dict[str, Any] = {
        "market": chain.market,
        "date": chain.date,
        "time": clock(chain),
        "spot": chain.spot,
        "rate": chain.rate,
        "quotes": "modelled" if chain.modelled else "real",
        "exercise": "american" if chain.american else "european",
        "expiries": expiry_rows(chain, smiles),
        "models": {name: fit_value(fitted) for name, fitted in smiles.joint.items()},
    }
    if smiles.ssvi is not None:
        eta, gamma, rho, theta, condition = smiles.ssvi
        value["models"]["ssvi"] = {
            "parameters": {"eta": eta, "gamma": gamma, "rho": rho},
            "theta": theta.tolist(),
            "arbitrage_condition": condition,
        }
    return value


def clock(chain: Chain) -> str:
    return f"{chain.minute // 60:02d}:{chain.minute % 60:02d}"


def number(value: float | None, form: str) -> str:
    return "n/a" if value is None or not math.isfinite(value) else form.format(value)


def calibration_lines(value: dict[str, Any]) -> list[str]:
    """The same for people."""
    head = f"{value['market']} {value['date']} {value['time']}, spot {value['spot']:.2f}, rate {value['rate']:.2%}"
    lines = [head, "-" * len(head)]
    if value["quotes"] == "modelled":
        lines.append("! MODELLED QUOTES: these smiles are the market model's own shape, not anybody's prices.")
    names = list(value["expiries"][0]["median_error_half_spreads"])
    lines.append(f"{value['exercise'].capitalize()} quotes; median error of each expiry in half-spreads:")
    lines.append(
        f"{'expiry':10} {'days':>6} {'quotes':>6} {'forward':>9} {'ATM %':>6} "
        + " ".join(f"{name:>7}" for name in names)
        + f" {'least g':>8} {'calendar':>9}"
    )
    for row in value["expiries"]:
        errors = " ".join(f"{number(row['median_error_half_spreads'].get(n), '{:.2f}'):>7}" for n in names)
        gap = "n/a" if "calendar_gap" not in row else ("ok" if row["calendar_gap"] <= 1e-5 else "crosses")
        atm = row.get("at_the_money_vol")
        lines.append(
            f"{row['expiry']:10} {row['dte']:>6.1f} {row['quotes']:>6} {row['forward']:>9.2f} "
            f"{number(None if atm is None else 100.0 * atm, '{:.2f}'):>6} {errors} "
            f"{number(row.get('least_g'), '{:.3f}'):>8} {gap:>9}" + (" refitted" if row.get("refitted") else "")
        )
    for name, model in value["models"].items():
        lines += model_lines(name, model)
    return lines


def model_lines(name: str, model: dict[str, Any]) -> list[str]:
    if name == "ssvi":
        parts = ", ".join(f"{key} {v:.4f}" for key, v in model["parameters"].items())
        return [f"ssvi: {parts}; no-arbitrage condition {model['arbitrage_condition']:.3f} (at most 4)"]
    parts = ", ".join(
        f"{key} {v:.4f} "
        + (f"+- {model['standard_errors'][key]:.4f}" if model["standard_errors"][key] else "(no error)")
        for key, v in model["parameters"].items()
    )
    bound = f"; at a bound: {', '.join(model['at_bound'])}" if model["at_bound"] else ""
    return [
        f"{name}: {parts}",
        f"  off by {model['rms_vol_points']:.2f} vol points, {model['rms_cents']:.1f} cents (rms), "
        f"{number(model['median_half_spreads'], '{:.1f}')} half-spreads (median) on {model['quotes']} quotes; "
        f"{model['starts_agreeing']} of {model['starts']} starts agree{bound}",
    ]


def write_calibration(folder: Path, chain: Chain, smiles: Smiles, value: dict[str, Any]) -> None:
    """parameters.json and smile-<expiry>.png for every expiry."""
    (folder / "parameters.json").write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for run, row in zip(expiries_of(smiles.quotes), value["expiries"], strict=True):
        write_smile_png(folder / f"smile-{row['expiry']}.png", chain, smiles, run, row)


def write_smile_png(path: Path, chain: Chain, smiles: Smiles, run: slice, row: dict[str, Any]) -> None:
    """One smile: quotes with their spread as bars, and a line for each model; 900 x 520 pixels."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    quotes, colour = smiles.quotes, PALETTE["light"]
    strike, vol = quotes.strike[run], 100.0 * quotes.vol[run]
    half = 100.0 * quotes.half_spread[run] / quotes.vega[run]
    fine = np.linspace(strike[0], strike[-1], 200)
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        canvas = Canvas(figsize=(9, 5.2), dpi=100)
        FigureCanvasAgg(canvas)
        panel = canvas.subplots()
        canvas.subplots_adjust(left=0.07, right=0.98, top=0.92, bottom=0.1)
        panel.errorbar(strike, vol, half, fmt="o", markersize=2.5, color=colour["ink"], elinewidth=0.8, label="quotes")
        for name, vol_at in smile_functions(smiles, float(quotes.years[run.start])).items():
            shade, style = LOOK[name]
            panel.plot(fine, 100.0 * vol_at(fine), color=colour[shade], linestyle=style, linewidth=1.4, label=name)
        panel.axvline(row["forward"], color=colour["axis"], linewidth=0.8)
        kind = "modelled quotes" if chain.modelled else "quotes"
        title = f"{chain.market} {chain.date}: {row['expiry']} ({row['dte']:.0f} days), {kind}"
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_xlabel("strike, $")
        panel.set_ylabel("implied volatility, %")
        panel.grid(color=colour["grid"], linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=9)
        canvas.savefig(path, format="png", metadata={"Software": None})
