"""The generated market `synthetic`: a seeded Heston path with jumps under the modelled surface; and dense tables of it.

Nothing in it is real: it serves tests, benchmarks and stress, and cannot show an edge. Variance passes on the
surface's own clock (nights, mornings, closed days), VIX and VIX3M are the model's risk-neutral expected variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.jit import by_reference, njit
from core.market.calendar import NS_MINUTE, Sessions, day_number, sessions_between
from core.market.modelled import (
    CALENDAR_REACH,
    CENTS_PER_STRIKE,
    DayFacts,
    bars_of,
    clock_at,
    modelled_columns,
    modelled_facts,
    no_cells,
    read_shape,
    strikes_of,
)
from core.market.paths import WITHIN_BAR_SHARE, Paths, bar_extreme
from core.market.store import Store, market_of
from core.market.writer import write_store
from core.pricing.model_surface import VIX3M_DAYS, VIX_DAYS, ModelShape, delta_at
from core.quotes import modelled_rows, shape_of
from core.types import CALL, CLOCK, GOOD, NS_PER_YEAR, SPOT, VIX, VIX3M, Market

FIRST_DAY = "2020-01-02"
SESSION_MINUTES = 390
CLOSE_BEFORE = 320.0  # $
RATE, DIVIDEND_YIELD = 0.02, 0.015
NIGHT_STEPS, BAR_STEPS = 16, 2
QUOTES = "MODELLED: GENERATED MARKET"


class HestonJumps(NamedTuple):
    """dS/S = drift dt + sqrt(v) dW + jumps, dv = speed (mean - v) dt + vol sqrt(v) dB, corr(dW, dB) = rho; per year.

    The priced_ numbers are risk-neutral: they make VIX, and with it the premium over what is realised.
    """

    drift: float
    speed: float
    mean: float
    vol: float
    rho: float
    jump_rate: float
    jump_mean: float  # of the log jump
    jump_sd: float
    priced_speed: float
    priced_mean: float
    priced_jump_rate: float
    priced_jump_mean: float


# Chosen, not fitted. Over 20 seeds: realised volatility .116, VIX 14.6 (between 9 and 26 at the median seed), ATM less
# forward realised .004 with a standard deviation of .010 from seed to seed; `history` has .005. speed x mean is the
# same in both measures; jumps are priced more often and larger than they come.
MODEL = HestonJumps(
    drift=0.05,
    speed=6.0,
    mean=0.018,
    vol=0.5,
    rho=-0.75,
    jump_rate=1.0,
    jump_mean=-0.03,
    jump_sd=0.03,
    priced_speed=4.5,
    priced_mean=0.024,
    priced_jump_rate=1.5,
    priced_jump_mean=-0.05,
)


@njit
def expected_variance(model, v, years):
    """Risk-neutral variance per year of a log contract over `years`: what a VIX of that term squares to.

    (1/T) E[integral of v] + 2 rate E[e^J - 1 - J] for log jumps J.
    """
    relaxed = (1.0 - math.exp(-model.priced_speed * years)) / (model.priced_speed * years)
    diffusion = model.priced_mean + (v - model.priced_mean) * relaxed
    growth = math.exp(model.priced_jump_mean + 0.5 * model.jump_sd**2) - 1.0
    return diffusion + 2.0 * model.priced_jump_rate * (growth - model.priced_jump_mean)


@njit
def advance(rng, model, x, v, years, steps):
    """(log price, variance) after `years` in `steps` full-truncation Euler steps (Lord, Koekkoek, van Dijk 2010)."""
    h = years / steps
    growth = math.exp(model.jump_mean + 0.5 * model.jump_sd**2) - 1.0
    drift = model.drift - model.jump_rate * growth
    across = math.sqrt(1.0 - model.rho**2)
    for _ in range(steps):
        alive = max(v, 0.0)
        first, second = rng.standard_normal(), rng.standard_normal()
        deviation = math.sqrt(alive * h)
        x += (drift - 0.5 * alive) * h + deviation * first
        v += model.speed * (model.mean - alive) * h + model.vol * deviation * (model.rho * first + across * second)
        if rng.random() < model.jump_rate * h:
            x += model.jump_mean + model.jump_sd * rng.standard_normal()
    return x, v


@njit
def generate(rng, model, x, nights, bar_years, bars, out_open, out_high, out_low, out_close, out_vix, out_vix3m):
    """Fill the columns (sessions x bars rows) from log price x; variance starts at its mean.

    nights : variance years before each session; bar_years : of each of its bars, (sessions, bars)
    Within a bar extremes are those of a bridge, as in core.market.paths.
    """
    v = model.mean
    for s in range(nights.size):
        x, v = advance(rng, model, x, v, nights[s], NIGHT_STEPS)
        for b in range(bars):
            i = s * bars + b
            a = x
            variance = WITHIN_BAR_SHARE * max(v, 0.0) * bar_years[s, b]
            x, v = advance(rng, model, x, v, bar_years[s, b], BAR_STEPS)
            out_open[i], out_close[i] = math.exp(a), math.exp(x)
            out_high[i] = math.exp(bar_extreme(rng, a, x, variance))
            out_low[i] = math.exp(-bar_extreme(rng, -a, -x, variance))
            out_vix[i] = 100.0 * math.sqrt(expected_variance(model, max(v, 0.0), VIX_DAYS))
            out_vix3m[i] = 100.0 * math.sqrt(expected_variance(model, max(v, 0.0), VIX3M_DAYS))


def full_sessions(first_day: int, count: int) -> Sessions:
    """`count` sessions and CALENDAR_REACH days more; early closes are made full, so that every session is alike."""
    span = sessions_between(first_day, first_day + CALENDAR_REACH + 10 + count * 3 // 2)
    if len(span.day) <= count:
        raise DataError(f"the exchange calendar holds {len(span.day)} sessions from {FIRST_DAY}; ask for fewer")
    last = span.day[count - 1] + CALENDAR_REACH
    sessions = Sessions(*(column[span.day <= last] for column in span))
    return sessions._replace(close_ns=sessions.open_ns + SESSION_MINUTES * NS_MINUTE)


def generated_bars(shape: ModelShape, sessions: Sessions, count: int, seed: int) -> tuple[Paths, Any]:
    """(bars of the first `count` sessions, VIX3M per bar); prices in whole cents, VIX in hundredths, as printed."""
    bars = int(bars_of(sessions)[0])
    steps = np.arange(bars + 1) * (SESSION_MINUTES // bars) * NS_MINUTE
    clock = clock_at(shape, sessions, (sessions.open_ns[:count, None] + steps).ravel()).reshape(count, bars + 1)
    ordinary_night = 7.0 / 365.0 / (5.0 + 2.0 * shape.closed_day_weight) * shape.overnight_weight
    nights = np.concatenate(([ordinary_night], clock[1:, 0] - clock[:-1, -1]))
    columns = [np.empty(count * bars) for _ in range(6)]
    rng = np.random.default_rng(seed)
    generate(rng, MODEL, math.log(CLOSE_BEFORE), nights, np.diff(clock, axis=1), bars, *columns)
    opened, high, low, close, vix, vix3m = (np.round(column, 2) for column in columns)
    return Paths(opened, high, low, close, vix), vix3m


def build_synthetic(folder: Path, seed: int = 7, sessions: int = 504, name: str = "synthetic") -> Store:
    """Write a generated market of so many full sessions from FIRST_DAY into `folder` and open it. Modelled."""
    if sessions < 1:
        raise DataError(f"a generated market of {sessions} sessions; ask for at least 1")
    calendar = full_sessions(day_number(FIRST_DAY), sessions)
    shape = read_shape()
    paths, vix3m = generated_bars(shape, calendar, sessions, seed)
    bars = len(paths.close) // sessions
    facts = DayFacts(
        np.concatenate(([CLOSE_BEFORE], paths.close[bars - 1 : -1 : bars])),
        np.full(sessions, RATE),
        np.full(sessions, DIVIDEND_YIELD),
    )
    columns = modelled_columns(calendar, paths, vix3m, facts, shape)
    source = {"model": "Heston with jumps", **MODEL._asdict(), "rate": RATE, "dividend_yield": DIVIDEND_YIELD}
    return write_store(folder, columns, modelled_facts(name, source, QUOTES, seed, shape), {"sessions": sessions})


# ---------------------------------------------------------------- a dense table of quotes

MANIFEST_OWN = (
    "schema columns first last sessions rows contracts expiries snapshots hash written".split()
)  # the writer's


class Grid(NamedTuple):
    """Which contracts a table quotes: expiries within dte_max, strikes on a step inside a range around each open.

    A strike that was once inside stays quoted until its expiry.
    """

    dte_max: int = 60
    step_cents: int = 500
    put_range: tuple[float, float] = (0.85, 1.02)  # of the last close
    call_range: tuple[float, float] = (0.98, 1.10)


@njit
def fill_cells(m, contract, first, last, base, bid, ask, delta):
    """Quotes and deltas of contracts over rows first..last (inclusive), from cell base on."""
    m = by_reference(m)
    shape = shape_of(m.shape)
    for k in range(contract.size):
        c, r = contract[k], first[k]
        x = m.con[c].expiry
        while r <= last[k]:
            s = m.row[r].session
            end = min(m.ses[s].end, last[k] + 1)
            at = base[k] + r - first[k]
            modelled_rows(m, c, r, end, bid[at : at + end - r], ask[at : at + end - r])
            for j in range(r, end):
                years = (m.exp[x].ts - m.row[j].ts) / NS_PER_YEAR
                d = delta_at(
                    shape, m.con[c].right == CALL, m.con[c].strike / 100.0, m.track[SPOT, j], years,
                    m.exp[x].clock - m.track[CLOCK, j], m.track[VIX, j], m.track[VIX3M, j],
                    m.ses[s].rate, m.ses[s].dividend_yield,
                )  # fmt: skip
                delta[base[k] + j - first[k]] = np.rint(1e4 * d) / 1e4
            r = end


def grid_contracts(m: Market, grid: Grid, expiry_days: Sequence[int] | None) -> tuple[Any, Any]:
    """(contracts that the grid quotes, in order; first row of each)."""
    close_before = m.row.spot[m.ses.start] / (1.0 + m.track[5][m.ses.start])
    wanted = np.ones(len(m.exp.day), bool) if expiry_days is None else np.isin(m.exp.day, np.asarray(expiry_days))
    contracts, firsts = [], []
    for x in np.flatnonzero(wanted):
        e = m.exp[x]
        born = max(int(np.searchsorted(m.ses.day, e.day - grid.dte_max)), int(m.row.session[e.first]))
        dead = int(np.searchsorted(m.ses.day, e.day, "right"))
        for low, high, span in ((e.put_lo, e.put_hi, grid.put_range), (e.call_lo, e.call_hi, grid.call_range)):
            if born >= dead:
                continue
            strikes, since = strikes_of(close_before[born:dead], *span)
            on_step = strikes % grid.step_cents == 0
            at = low + (strikes[on_step] - m.con.strike[low]) // CENTS_PER_STRIKE
            listed = (at >= low) & (at < high)
            at, first = at[listed], m.ses.start[born + since[on_step][listed]]
            contracts.append(at)
            firsts.append(np.maximum(first, m.con.first[at]))
    if not contracts:
        raise DataError("no expiry of this market lies on the grid; widen dte_max or name other expiry days")
    return np.concatenate(contracts).astype(np.int64), np.concatenate(firsts).astype(np.int64)


def tabulate(
    store: Store, folder: Path, name: str, grid: Grid | None = None, expiry_days: Sequence[int] | None = None
) -> Store:
    """A modelled market with a quote in every row for a grid of contracts, as a store of kind 'table'. Modelled.

    expiry_days : days since 1970 of the expiries to keep, None for all
    """
    if store.manifest["kind"] != "model":
        raise DataError(f"market '{store.name}' is of kind {store.manifest['kind']}; only a modelled one is tabulated")
    grid = Grid() if grid is None else grid
    m = market_of(store)
    contract, first = grid_contracts(m, grid, expiry_days)
    session = m.exp.session[m.con.expiry[contract]]
    last = np.where(session >= 0, m.ses.end[session], len(m.row.ts)).astype(np.int64) - 1
    size = last - first + 1
    base = np.concatenate(([0], np.cumsum(size)[:-1]))
    cells = int(size.sum())
    bid, ask, delta = np.empty(cells, np.int32), np.empty(cells, np.int32), np.empty(cells, np.float32)
    fill_cells(m, contract, first, last, base, bid, ask, delta)
    columns = {
        **store.columns,
        **table_contracts(m, contract, first),
        **no_cells(len(contract)),
        "snap": np.arange(len(m.row.ts), dtype=np.int32),
        "q_base": base,
        "q_first": first.astype(np.int32),
        "q_last": last.astype(np.int32),
        "q_bid": bid,
        "q_ask": ask,
        "q_flag": np.full(cells, GOOD, np.uint8),
        "q_delta": delta,
        "q_row": np.arange(len(m.row.ts), dtype=np.int32),
        "q_stick": np.zeros(len(m.row.ts)),
    }
    facts = {key: store.manifest[key] for key in store.manifest if key not in MANIFEST_OWN}
    facts.update(name=name, kind="table", quotes=f"{store.manifest['quotes']}, TABULATED", grid=grid._asdict())
    return write_store(folder, columns, facts, {"quotes": cells, "contracts": len(contract)})


def table_contracts(m: Market, contract: Any, first: Any) -> dict[str, Any]:
    """Columns e_ and c_ of the chosen contracts; expiries renumbered, those without a contract left out."""
    kept, expiry = np.unique(m.con.expiry[contract], return_inverse=True)
    right = m.con.right[contract]
    key = 2 * expiry + right
    low = np.searchsorted(key, 2 * np.arange(len(kept))).astype(np.int32)
    middle = np.searchsorted(key, 2 * np.arange(len(kept)) + 1).astype(np.int32)
    high = np.searchsorted(key, 2 * np.arange(len(kept)) + 1, "right").astype(np.int32)
    listed = np.full(len(kept), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(listed, expiry, first.astype(np.int32))
    return {
        "e_day": m.exp.day[kept],
        "e_session": m.exp.session[kept].astype(np.int32),
        "e_ts": m.exp.ts[kept],
        "e_clock": m.exp.clock[kept],
        "e_style": m.exp.style[kept].astype(np.int8),
        "e_first": listed,
        "e_put_lo": low,
        "e_put_hi": middle,
        "e_call_lo": middle,
        "e_call_hi": high,
        "c_expiry": expiry.astype(np.int32),
        "c_strike": m.con.strike[contract],
        "c_right": right.astype(np.int8),
        "c_first": first.astype(np.int32),
    }
