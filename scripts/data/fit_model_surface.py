"""Fits the modelled option surface to the real chains of the data kit and judges the result.

    python scripts/data/fit_model_surface.py --kit ../shared/data [--write]

Prints the fitted numbers, how well they price real condors (given VIX and the parity forward
only) and how well a fit without one year's chains prices that year. `--write` renews
data/presets/model_surface.yaml. Only numbers leave this script, never quotes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import least_squares, minimize
from scipy.special import ndtr

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from core.pricing import model_surface as surface  # noqa: E402

PRESET = PROJECT / "data/presets/model_surface.yaml"
CHAIN_FILES = {
    "spy_chain_eod_2026": "SPY 2026",
    "spx_chain_eod_2026": "SPX 2026",
    "spxw_chain_eod_2018": "SPXW 2018",
    "cboe_chain_snapshots": "snapshot",
}
QUOTE_DELAY = pd.Timedelta(minutes=15)  # the last option quotes stand at 16:15 New York
SLICE = ["group", "date", "root", "expiration"]
LEAST_YEARS = 0.5 / 365

# Held fixed. mean_reversion: from 4 to 8 the fit is as good. Clock: see `show_clock`. right_slope: below 0.3
# the farthest calls decay; a free fit gives 0.38 and no better condors. width_0: keeps the bend of long
# expiries soft enough to be free of butterflies. Opening minutes: SPXW minute quotes, first three minutes
# 1.75 times wider; how soon that ends is an assumption.
FIXED = {
    "mean_reversion": 6.0,
    "overnight_weight": 0.35,
    "morning_weight": 0.25,
    "midday_weight": 0.40,
    "closed_day_weight": 0.10,
    "right_slope": 0.28,
    "width_0": 0.10,
    "spread_min_usd": 0.01,
    "spread_vix_from": 16.0,
    "spread_open_factor": 1.75,
    "spread_open_minutes": 3.0,
    "spread_settle_minutes": 12.0,
}
START = {
    "atm_0": 0.82,
    "atm_1": 0.0,
    "left_slope": 0.3,
    "center_0": 1.1,
    "center_1": 0.0,
    "width_1": 0.8,
}
# Pull of the two VIX dependences to zero, as the weighted residual of one unit. Few VIX regimes
# exist, so a steep dependence is more likely the accident of one of them than a law.
PULL = {"atm_1": 0.4, "center_1": 0.04}
# The 2026 sessions are one summer: they count as 2.5 regimes, not as 32 sessions.
REGIME_WEIGHT = {
    "SPY 2026": 1.5,
    "SPX 2026": 1.0,
    "SPXW 2018-01": 1.2,
    "SPXW 2018-02": 1.0,
    "snapshot 2025-05": 0.5,
}


class Indices(NamedTuple):
    """Daily closes by date (index points) and the overnight rate (decimal)."""

    vix: pd.Series
    vix3m: pd.Series
    rate: pd.Series


def load_indices(kit: Path) -> Indices:
    daily = pd.read_parquet(kit / "vol_indices_daily.parquet").set_index("date")
    rates = pd.read_parquet(kit / "rates_daily.parquet").set_index("date")
    return Indices(daily["vix_close"], daily["vix3m_close"], rates["dff_pct"].dropna() / 100)


def sessions_ns(first: pd.Timestamp, last: pd.Timestamp) -> tuple[np.ndarray, np.ndarray]:
    """New York Stock Exchange opens and closes (UTC ns) that span the two dates with room to spare."""
    import exchange_calendars

    margin = pd.Timedelta(days=10)
    calendar = exchange_calendars.get_calendar("XNYS", start=first - margin, end=last + margin)
    opens, closes = (
        side.dt.tz_convert(None).to_numpy("datetime64[ns]").astype(np.int64)
        for side in (calendar.opens, calendar.closes)
    )
    return opens, closes


def clock_shape(closed_day_weight: float | None = None) -> surface.ModelShape:
    """A shape whose clock is real and whose every other number is a placeholder."""
    values = dict.fromkeys(surface.ModelShape._fields, 1.0) | FIXED
    if closed_day_weight is not None:
        values["closed_day_weight"] = closed_day_weight
    return surface.shape_from_mapping(values)


def read_chain(kit: Path, name: str) -> pd.DataFrame:
    """One kit file with its group, quote time and expiry time as UTC ns."""
    chain = pd.read_parquet(kit / f"{name}.parquet")
    label = CHAIN_FILES[name]
    month = chain["date"].dt.strftime("%Y-%m")
    chain["group"] = label if label.endswith("2026") else label.removesuffix(" 2018") + " " + month
    opens, closes = sessions_ns(chain["date"].min(), chain["expiration"].max())
    by_date = pd.Series(range(len(opens)), index=pd.to_datetime(closes).normalize())
    chain = chain[chain["date"].isin(by_date.index)].copy()
    # An expiry listed on a holiday ends with the session before it.
    at = np.searchsorted(by_date.index.to_numpy(), chain["expiration"].to_numpy(), side="right") - 1
    morning_settled = (chain["root"] == "SPX").to_numpy()
    chain["quote_ns"] = closes[by_date[chain["date"]].to_numpy()] + QUOTE_DELAY.value
    chain["expiry_ns"] = np.where(morning_settled, opens[at], closes[at])
    chain["years"] = (chain["expiry_ns"] - chain["quote_ns"]) / 31_536_000e9
    return chain[chain["years"] > LEAST_YEARS]


def add_variance_years(rows: pd.DataFrame, shape: surface.ModelShape) -> pd.DataFrame:
    opens, closes = sessions_ns(rows["date"].min(), rows["expiration"].max())
    clock = {}
    for column in ("quote_ns", "expiry_ns"):
        clock[column] = np.empty(len(rows))
        surface.variance_clock(shape, rows[column].to_numpy(np.int64), opens, closes, clock[column])
    return rows.assign(variance_years=clock["expiry_ns"] - clock["quote_ns"])


def parity_forward(one_expiry: pd.DataFrame, rate: float) -> float:
    """Median K + e^(rT)(C - P) of the seven strikes nearest the money; NaN with fewer than five pairs."""
    quoted = one_expiry[one_expiry["bid"] > 0]
    strike, mid = quoted["strike"].to_numpy(), quoted["mid"].to_numpy()
    calls = (quoted["type"] == "call").to_numpy()
    both, at_call, at_put = np.intersect1d(strike[calls], strike[~calls], return_indices=True)
    if len(both) < 5:
        return np.nan
    gap = mid[calls][at_call] - mid[~calls][at_put]
    near = np.argsort(np.abs(gap), kind="stable")[:7]
    return float(np.median(both[near] + np.exp(rate * one_expiry["years"].iloc[0]) * gap[near]))


def black(forward, strike, deviation, discount, is_call):
    d1 = np.log(forward / strike) / deviation + 0.5 * deviation
    call = forward * ndtr(d1) - strike * ndtr(d1 - deviation)
    return discount * np.where(is_call, call, call - forward + strike)


def implied_deviation(rows: pd.DataFrame) -> np.ndarray:
    """sigma sqrt(T) by bisection; out-of-the-money mids, so European Black is near enough for SPY."""
    low, high = np.full(len(rows), 1e-5), np.full(len(rows), 4.0)
    discount = np.exp(-rows["rate"] * rows["years"])
    for _ in range(50):
        middle = 0.5 * (low + high)
        price = black(rows["forward"], rows["strike"], middle, discount, rows["is_call"])
        below = price < rows["mid"]
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def out_of_the_money(kit: Path, name: str, indices: Indices, dte: tuple[int, int]) -> pd.DataFrame:
    """Two-sided out-of-the-money quotes with forward, implied vol, delta and vega of the real market."""
    chain = read_chain(kit, name)
    chain = chain[(chain["ask"] > chain["bid"]) & chain["dte"].between(*dte)].copy()
    chain["mid"] = 0.5 * (chain["bid"] + chain["ask"])
    chain["vix"] = chain["date"].map(indices.vix)
    chain["vix3m"] = chain["date"].map(indices.vix3m)
    rates = {day: indices.rate[:day].iloc[-1] for day in chain["date"].unique()}
    chain["rate"] = chain["date"].map(rates)
    chain["price_scale"] = np.where(chain["root"] == "SPY", 1.0, 10.0)
    forwards = {key: parity_forward(one, one["rate"].iloc[0]) for key, one in chain.groupby(SLICE, observed=True)}
    chain["forward"] = pd.MultiIndex.from_frame(chain[SLICE]).map(forwards)
    chain["is_call"] = chain["type"] == "call"
    keep = (chain["bid"] > 0) & chain["forward"].notna() & chain["vix"].notna()
    rows = chain[keep & (chain["is_call"] == (chain["strike"] >= chain["forward"]))].copy()
    deviation = implied_deviation(rows)
    rows["k"] = np.log(rows["strike"] / rows["forward"])
    d1 = -rows["k"] / deviation + 0.5 * deviation
    rows["iv_real"] = deviation / np.sqrt(rows["years"])
    rows["delta_real"] = np.where(rows["is_call"], ndtr(d1), ndtr(d1) - 1.0)
    density = np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi)
    rows["vega_usd"] = 0.01 * rows["forward"] * density * np.sqrt(rows["years"])
    return add_variance_years(rows.drop(columns="iv"), clock_shape()).reset_index(drop=True)


def load_rows(kit: Path, indices: Indices, dte: tuple[int, int] = (0, 400)) -> pd.DataFrame:
    """The out-of-the-money quotes of every chain file the kit holds, calendar days to expiry within `dte`."""
    present = [name for name in CHAIN_FILES if (kit / f"{name}.parquet").exists()]
    return pd.concat([out_of_the_money(kit, name, indices, dte) for name in present], ignore_index=True)


def vix3m_by_vix(indices: Indices) -> tuple[float, float]:
    """Least squares of VIX3M / VIX on u over all days that have both."""
    both = pd.concat([indices.vix, indices.vix3m], axis=1).dropna()
    vix = both["vix_close"].to_numpy()
    slope, level = np.polyfit(2 * (vix - 16) / (vix + 16), both["vix3m_close"].to_numpy() / vix, 1)
    return float(level), float(slope)


def model_vols(shape: surface.ModelShape, rows: pd.DataFrame, vix3m: np.ndarray) -> np.ndarray:
    out = np.empty(len(rows))
    columns = (rows[c].to_numpy(float) for c in ("k", "years", "variance_years", "vix"))
    surface.vols_at(shape, *columns, vix3m, out)
    return out


def fit_weights(rows: pd.DataFrame) -> np.ndarray:
    """Each regime counts by its table, each slice in it alike, quotes by sqrt of their vega."""
    per_slice = rows.groupby(SLICE)["k"].transform("size")
    slices = (1.0 / per_slice).groupby(rows["group"]).transform("sum")
    deviation = rows["iv_real"] * np.sqrt(rows["years"])
    d1 = -rows["k"] / deviation + 0.5 * deviation
    trade_window = np.where(rows["dte"].between(10, 60), 1.3, 0.8)
    return (
        np.sqrt(rows["group"].map(REGIME_WEIGHT).fillna(1.0) / (per_slice * slices))
        * np.exp(-(d1**2) / 12)
        * trade_window
    ).to_numpy()


def fit_sample(rows: pd.DataFrame) -> pd.DataFrame:
    sound = (rows["ask"] - rows["bid"]) <= np.maximum(0.6 * rows["mid"], 0.05 * rows["price_scale"])
    rows = rows[sound & rows["delta_real"].abs().between(0.01, 0.99) & (rows["dte"] <= 190)]
    every = (rows.groupby(SLICE)["k"].transform("size") // 30).clip(lower=1)
    return rows[rows.groupby(SLICE).cumcount() % every == 0]


def fit_surface(sample: pd.DataFrame, base: dict[str, float]) -> dict[str, float]:
    """Least squares of log vols, once with VIX alone and once more where VIX3M is published."""
    weight = fit_weights(sample)
    published = sample["vix3m"].notna().to_numpy()
    known = sample[published]
    real, real_known = (rows["iv_real"].to_numpy() for rows in (sample, known))
    unknown = np.full(len(sample), np.nan)

    def residuals(x):
        found = dict(zip(START, x, strict=True))
        shape = surface.shape_from_mapping(base | found)
        alone = weight * np.log(model_vols(shape, sample, unknown) / real)
        both = np.log(model_vols(shape, known, known["vix3m"].to_numpy()) / real_known)
        return np.concatenate([alone, 0.7 * weight[published] * both, [PULL[n] * found[n] for n in PULL]])

    return dict(zip(START, map(float, least_squares(residuals, list(START.values())).x), strict=True))


def fit_spreads(rows: pd.DataFrame, base: dict[str, float], day_move: pd.Series) -> dict[str, float]:
    """Least absolute errors: the width of calm SPY sessions, then how sessions widen with VIX and move."""
    rows = rows[rows["dte"].between(5, 60) & rows["delta_real"].abs().between(0.02, 0.55)]
    rows = rows.assign(width=(rows["ask"] - rows["bid"]) / rows["price_scale"], move=rows["date"].map(day_move).abs())
    calm = rows[(rows["price_scale"] == 1.0) & (rows["move"] < 0.01) & (rows["vix"] < 20)]

    def plain(x, at):
        return x[0] + x[1] * at["delta_real"].abs() + x[2] * at["vega_usd"] / at["price_scale"]

    def error(x):
        model = np.maximum(plain(np.abs(x), calm), base["spread_min_usd"])
        return float(np.abs(model - calm["width"]).mean())

    flat = np.abs(minimize(error, [0.0056, 0.1446, 0.0104], method="Nelder-Mead").x)
    ratio = rows["width"] / np.maximum(plain(flat, rows), base["spread_min_usd"])
    sessions = rows.assign(ratio=ratio).groupby(["group", "date"])[["ratio", "vix", "move"]].median().dropna()
    above = np.maximum(sessions["vix"] - base["spread_vix_from"], 0)

    def widening_error(x):
        model = np.log1p(abs(x[0]) * above) + np.log1p(abs(x[1]) * sessions["move"])
        return float(np.abs(np.log(sessions["ratio"]) - model).mean())

    per_vix, per_move = np.abs(minimize(widening_error, [0.09, 35.0], method="Nelder-Mead").x)
    names = ["spread_base_usd", "spread_delta_usd", "spread_vega", "spread_per_vix", "spread_per_move"]
    return dict(zip(names, map(float, [*flat, per_vix, per_move]), strict=True))


def condors(rows: pd.DataFrame) -> pd.DataFrame:
    """Real condors at 20-45 DTE: short 20 delta with long 5 delta, and 16 delta with $10 wings ($100 SPX).

    One row per expiry and rule: group, date, rule, and the row labels of the legs (short put, short call,
    long put, long call). An expiry whose strikes lie more than .03 (short) or .015 (long) delta off is left out.
    """
    found = []
    for key, one in rows[rows["dte"].between(20, 45)].groupby(SLICE, observed=True):
        sides = one[~one["is_call"]], one[one["is_call"]]
        if min(map(len, sides)) < 8:
            continue
        near = {d: [(s["delta_real"].abs() - d).abs().idxmin() for s in sides] for d in (0.20, 0.16, 0.05)}
        off = {d: max(abs(abs(one["delta_real"][leg]) - d) for leg in legs) for d, legs in near.items()}
        if off[0.20] < 0.03 and off[0.05] < 0.015:
            found.append((*key, "20/5 delta", *near[0.20], *near[0.05]))
        wing = 10 * one["price_scale"].iloc[0]
        outer = [
            s.index[(s["strike"] - (s["strike"][short] + sign * wing)).abs() < 0.01]
            for s, short, sign in zip(sides, near[0.16], (-1, 1), strict=True)
        ]
        if off[0.16] < 0.03 and all(map(len, outer)):
            found.append((*key, "16 delta, 10 wide", *near[0.16], outer[0][0], outer[1][0]))
    return pd.DataFrame(found, columns=[*SLICE, "rule", "short_put", "short_call", "long_put", "long_call"])


def condor_errors(
    rows: pd.DataFrame, legs: pd.DataFrame, shape: surface.ModelShape, with_vix3m: bool = False
) -> pd.Series:
    """Model price over real mid of each condor, less one. The forward is the expiry's own parity forward."""
    used = rows.loc[legs[["short_put", "short_call", "long_put", "long_call"]].to_numpy().ravel()]
    vix3m = used["vix3m"].to_numpy() if with_vix3m else np.full(len(used), np.nan)
    deviation = model_vols(shape, used, vix3m) * np.sqrt(used["years"].to_numpy())
    discount = np.exp(-used["rate"] * used["years"]).to_numpy()
    forward, strike, is_call = (used[c].to_numpy() for c in ("forward", "strike", "is_call"))
    credit = np.array([1, 1, -1, -1])
    model = black(forward, strike, deviation, discount, is_call).reshape(-1, 4) @ credit
    return pd.Series(model / (used["mid"].to_numpy().reshape(-1, 4) @ credit) - 1, legs.index)


def by_session(legs: pd.DataFrame, errors: pd.Series) -> pd.DataFrame:
    """The median error over a session's expiries, one row per (rule, group, date)."""
    return legs.assign(error=errors).groupby(["rule", "group", "date"], as_index=False)["error"].median()


def judge(sessions: pd.DataFrame) -> dict[str, tuple[float, float, int]]:
    """Per rule: share of sessions within 15 %, median error, sessions."""
    return {
        rule: (float((e.abs() <= 0.15).mean()), float(e.median()), len(e))
        for rule, e in sessions.groupby("rule")["error"]
    }


def print_judgement(title: str, sessions: pd.DataFrame) -> None:
    for rule, (share, median, count) in judge(sessions).items():
        print(f"{title:34s} {rule:18s} within 15 %: {share:6.1%}  median {median:+.3f}  sessions {count}")


def leave_one_year_out(rows: pd.DataFrame, sample: pd.DataFrame, legs: pd.DataFrame, base: dict[str, float]) -> None:
    for year in sorted(legs["date"].dt.year.unique()):
        rest = sample[sample["date"].dt.year != year]
        shape = surface.shape_from_mapping(base | fit_surface(rest, base))
        there = legs[legs["date"].dt.year == year]
        print_judgement(f"fitted without {year}", by_session(there, condor_errors(rows, there, shape)))


def show_fit(rows: pd.DataFrame, legs: pd.DataFrame, shape: surface.ModelShape) -> None:
    for label, with_vix3m in (("VIX alone", False), ("VIX and published VIX3M", True)):
        sessions = by_session(legs, condor_errors(rows, legs, shape, with_vix3m))
        print_judgement(label, sessions)
    sessions = by_session(legs, condor_errors(rows, legs, shape))
    for group, part in sessions.groupby("group"):
        print_judgement(f"  {group}", part)
    for miss in sessions[sessions["error"].abs() > 0.15].itertuples():
        print(f"  miss: {miss.group} {miss.date:%Y-%m-%d} {miss.rule} {miss.error:+.2f}")


def show_clock(rows: pd.DataFrame) -> None:
    """Scatter of at-the-money variance around a smooth curve in variance time, by weight of a closed day."""
    near = rows[(rows["k"].abs() < 0.003) & (rows["dte"] <= 60) & (rows["root"] != "SPX")]
    near = near.groupby(SLICE, as_index=False).first()
    for weight in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        t = add_variance_years(near, clock_shape(weight))["variance_years"].to_numpy()
        left = []
        for _, one in near.assign(t=t, y=np.log(near["iv_real"] ** 2 * near["years"] / t)).groupby(["group", "date"]):
            if len(one) >= 9:
                x = np.log(one["t"].to_numpy())
                curve = np.column_stack([np.maximum(x - np.log(day / 365), 0) for day in (4, 15)] + [x, x**0])
                y = one["y"].to_numpy()
                left.append(0.5 * (y - curve @ np.linalg.lstsq(curve, y)[0]))
        print(f"closed day weight {weight:.2f}: rms of log vol {np.sqrt(np.mean(np.concatenate(left) ** 2)):.4f}")


def write_preset(values: dict[str, float], rows: pd.DataFrame) -> None:
    sessions = rows.groupby("group")["date"].nunique()
    lines = [
        "# The modelled option surface: numbers only, fitted to real chains. Every quote made with them is MODELLED.",
        "# Made by scripts/data/fit_model_surface.py --write; the formulas stand in core/pricing/model_surface.py.",
        "# Source: end-of-day chains of the data kit (sessions): "
        + ", ".join(f"{group} {count}" for group, count in sessions.items())
        + ".",
        f"# VIX on those days {rows['vix'].min():.1f} to {rows['vix'].max():.1f}; outside that range it extrapolates.",
        f"fitted_on: {pd.Timestamp.now(tz='UTC'):%Y-%m-%d}",
        f"last_session: {rows['date'].max():%Y-%m-%d}",
        "shape:",
        *(f"  {name}: {float(f'{values[name]:.5g}')!r}" for name in surface.ModelShape._fields),
    ]
    PRESET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the modelled option surface to the real chains of the kit.")
    parser.add_argument("--kit", type=Path, default=PROJECT / "../shared/data", help="folder of the data kit")
    parser.add_argument("--write", action="store_true", help="renew data/presets/model_surface.yaml")
    options = parser.parse_args()
    indices = load_indices(options.kit)
    rows = load_rows(options.kit, indices)
    level, slope = vix3m_by_vix(indices)
    base = clock_shape()._asdict() | {"vix3m_ratio_0": level, "vix3m_ratio_1": slope}
    close = pd.read_parquet(options.kit / "spx_daily.parquet").set_index("date")["close"]
    base |= fit_spreads(rows, base, close.pct_change())
    sample = fit_sample(rows)
    values = base | fit_surface(sample, base)
    for name in surface.ModelShape._fields:
        print(f"{name:22s} {values[name]:.5g}")
    legs = condors(rows)
    show_fit(rows, legs, surface.shape_from_mapping(values))
    leave_one_year_out(rows, sample, legs, base)
    show_clock(rows)
    if options.write:
        write_preset(values, rows)


if __name__ == "__main__":
    main()
