"""What `price` shows and writes: value under every model, greeks, chances, payoff and P&L by date."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.errors import ConfigError
from core.market.calendar import day_text
from core.market.snapshot import Chain
from core.pricing.chain import forward_delta
from core.pricing.heston_paths import heston_breach
from core.pricing.local_vol import breach_probability
from core.report.plots import PALETTE
from core.report.smiles import clock, number
from core.smiles import Smiles, breach_args, heston_parameters, smile_functions
from core.valuation import (
    SEED,
    Leg,
    Terms,
    check,
    constant_vol_chances,
    european_legs,
    greeks,
    model_values,
    payoff,
    profit_probability,
    structure_at,
)

CONDOR_DELTA = 0.16
STEPS, PATHS = 120, 20_000  # of the simulated check
WING_SHARE = 0.015  # of the spot
SIDES = ("long put", "short put", "short call", "long call")


class Subject(NamedTuple):
    """What is priced: terms, legs at their own volatilities, the smiles by model, and where it all came from."""

    terms: Terms
    legs: list[Leg]
    smiles: dict[str, Callable[[Any], Any]]
    source: str
    modelled: bool
    quoted: list[tuple[float, float]] | None  # bid and ask by leg, $/share
    fitted: Smiles | None


def parse_condor(text: str) -> list[tuple[bool, float, int]]:
    """'540/550/650/660' as (is_call, strike, quantity) of long put, short put, short call, long call."""
    try:
        strikes = [float(part) for part in text.split("/")]
    except ValueError:
        strikes = []
    if len(strikes) != 4 or not strikes[0] < strikes[1] <= strikes[2] < strikes[3]:
        raise ConfigError(
            f"--condor is {text!r}; give long put/short put/short call/long call, ascending, as 540/550/650/660"
        )
    return [(False, strikes[0], 1), (False, strikes[1], -1), (True, strikes[2], -1), (True, strikes[3], 1)]


def flat_subject(terms: Terms, wanted: list[tuple[bool, float, int]], vol: float) -> Subject:
    """Stated terms at one volatility."""
    legs = [Leg(call, strike, quantity, vol) for call, strike, quantity in wanted]
    check(terms, legs)
    flat = {"given vol": lambda k: np.full(np.shape(k), vol)}
    return Subject(terms, legs, flat, f"one volatility of {vol:.2%}", False, None, None)


def market_subject(chain: Chain, fitted: Smiles, years: float, wanted: list[tuple[bool, float, int]] | None) -> Subject:
    """A structure on a market's chain at its own smile; without `wanted` a 16-delta condor of listed strikes."""
    rows = np.flatnonzero(chain.years == years)
    at = np.flatnonzero(fitted.quotes.years == years)[0]
    forward = float(fitted.quotes.forward[at])
    smiles = smile_functions(fitted, years)
    wanted = wanted or standard_condor(chain, fitted, rows)
    vols = smiles["svi"](np.array([strike for _, strike, _ in wanted]))
    legs = [Leg(c, k, q, float(v)) for (c, k, q), v in zip(wanted, vols, strict=True)]
    terms = Terms(chain.spot, years, chain.rate, chain.rate - math.log(forward / chain.spot) / years)
    check(terms, legs)
    quoted = []
    for call, strike, _ in wanted:
        here = rows[(chain.is_call[rows] == call) & (chain.strike[rows] == strike)]
        quoted.append((float(chain.bid[here[0]]), float(chain.ask[here[0]])) if len(here) else (math.nan, math.nan))
    day = day_text(int(chain.expiry[rows[0]]))
    source = f"{chain.market} {chain.date} {clock(chain)}, expiry {day}"
    return Subject(terms, legs, smiles, source, chain.modelled, quoted, fitted)


def standard_condor(chain: Chain, fitted: Smiles, rows: Any) -> list[tuple[bool, float, int]]:
    """Shorts nearest to 16 delta and wings 1.5 % of the spot away, among the listed strikes."""
    quotes = fitted.quotes
    mine = quotes.years == chain.years[rows[0]]
    away = np.abs(forward_delta(quotes) - CONDOR_DELTA)
    found = {}
    for call in (False, True):
        side = np.flatnonzero(mine & (quotes.is_call == call))
        if not len(side):
            raise ConfigError("the expiry has no out-of-the-money quotes on one side; choose another with --dte")
        short = float(quotes.strike[side[np.argmin(away[side])]])
        listed = np.unique(chain.strike[rows][chain.is_call[rows] == call])
        beyond = listed[listed > short] if call else listed[listed < short]
        target = short + (1 if call else -1) * WING_SHARE * chain.spot
        found[call] = short, float(beyond[np.argmin(np.abs(beyond - target))])
    (short_put, long_put), (short_call, long_call) = found[False], found[True]
    return [(False, long_put, 1), (False, short_put, -1), (True, short_call, -1), (True, long_call, 1)]


def natural_credit(subject: Subject) -> tuple[float, float] | None:
    """(natural, mid) credit in $/share, negative for a debit; None without quotes."""
    if subject.quoted is None or any(math.isnan(bid + ask) for bid, ask in subject.quoted):
        return None
    pairs = list(zip(subject.legs, subject.quoted, strict=True))
    natural = -sum(leg.quantity * (ask if leg.quantity > 0 else bid) for leg, (bid, ask) in pairs)
    return natural, -sum(leg.quantity * 0.5 * (bid + ask) for leg, (bid, ask) in pairs)


def smile_values(subject: Subject) -> dict[str, dict[str, float]]:
    """Model -> value at that model's smile, as European and American options."""
    found = {}
    for name, vol_at in subject.smiles.items():
        vols = vol_at(np.array([leg.strike for leg in subject.legs]))
        if not np.all(np.asarray(vols) > 0.0):
            continue
        legs = [leg._replace(vol=float(v)) for leg, v in zip(subject.legs, vols, strict=True)]
        values = model_values(subject.terms, legs) if name == next(iter(subject.smiles)) else None
        found[name] = {
            "european": values["european"]["value"] if values else float(_european(subject.terms, legs)),
            "american": values["american"]["value"] if values else _american(subject.terms, legs),
        }
        if values:
            found[name] |= {key: part["value"] for key, part in values.items() if key not in ("european", "american")}
            if "american_simulated" in values:
                found[name]["american_simulated_error"] = values["american_simulated"]["standard_error"]
    return found


def _european(terms: Terms, legs: list[Leg]) -> float:
    return float(sum(leg.quantity * p for leg, p in zip(legs, european_legs(terms, legs).price, strict=True)))


def _american(terms: Terms, legs: list[Leg]) -> float:
    from core.pricing.american import american_price

    rest = (terms.rate, terms.dividend_yield)
    return float(
        sum(g.quantity * american_price(g.is_call, terms.spot, g.strike, terms.years, g.vol, *rest) for g in legs)
    )


def price_value(subject: Subject, credit: float | None) -> dict[str, Any]:
    """Everything `price` found, as one JSON object; `credit` defaults to natural, else to the model's."""
    terms, legs = subject.terms, subject.legs
    models = smile_values(subject)
    first = next(iter(subject.smiles))
    pair = natural_credit(subject)
    taken = credit if credit is not None else (pair[0] if pair else -models[first]["american"])
    structure = structure_at(legs, taken)
    european_ = european_legs(terms, legs)
    shorts = [leg for leg in legs if leg.quantity < 0]
    barriers = shorts or legs
    lower = max((leg.strike for leg in barriers if not leg.is_call and leg.strike < terms.spot), default=None)
    upper = min((leg.strike for leg in barriers if leg.is_call and leg.strike > terms.spot), default=None)
    at_money = float(subject.smiles[first](np.array([terms.forward]))[0])
    chances: dict[str, Any] = {
        "profit_at_expiry": profit_probability(terms, legs, taken, subject.smiles[first]),
        "touch_constant_vol_approximation": constant_vol_chances(terms, lower, upper, at_money),
    }
    if subject.fitted is not None and lower is not None and upper is not None:
        below, above, inside = breach_probability(terms.spot, lower, upper, terms.years, *breach_args(subject.fitted))
        chances["touch_local_vol"] = {"lower_first": below, "upper_first": above, "inside": inside}
        heston = heston_parameters(subject.fitted)
        if heston is not None:
            carry = terms.rate - terms.dividend_yield
            rng = np.random.default_rng(SEED)
            chances["touch_heston_simulated"] = heston_breach(
                terms.spot, lower, upper, terms.years, carry, heston, STEPS, PATHS, rng
            )._asdict()
    quoted = subject.quoted or [(math.nan, math.nan)] * len(legs)
    return {
        "source": subject.source,
        "quotes": "modelled" if subject.modelled else ("real" if subject.quoted else "none"),
        "spot": terms.spot,
        "days": 365.0 * terms.years,
        "rate": terms.rate,
        "dividend_yield": terms.dividend_yield,
        "legs": [
            {
                "right": "call" if leg.is_call else "put",
                "strike": leg.strike,
                "quantity": leg.quantity,
                "vol": leg.vol,
                "bid": None if math.isnan(bid) else bid,
                "ask": None if math.isnan(ask) else ask,
                "european": float(european_.price[i]),
                "delta": float(european_.delta[i]),
                "prob_itm": float(european_.prob_itm[i]),
            }
            for i, (leg, (bid, ask)) in enumerate(zip(legs, quoted, strict=True))
        ],
        "models": models,
        "greeks": greeks(terms, legs),
        "credit": taken,
        "natural_credit": pair[0] if pair else None,
        "mid_credit": pair[1] if pair else None,
        "max_profit": structure.max_profit if math.isfinite(structure.max_profit) else None,
        "max_loss": structure.max_loss if math.isfinite(structure.max_loss) else None,
        "breakevens": list(structure.breakevens),
        "probabilities": chances,
    }


def price_lines(value: dict[str, Any]) -> list[str]:
    """The same for people."""
    head = f"{value['source']}: spot {value['spot']:.2f}, {value['days']:.2f} days, rate {value['rate']:.2%}, "
    head += f"yield {value['dividend_yield']:.2%}"
    lines = [head, "-" * len(head)]
    if value["quotes"] == "modelled":
        lines.append("! MODELLED QUOTES: a modelled premium proves no edge.")
    lines.append(f"{'leg':18} {'vol %':>6} {'bid':>7} {'ask':>7} {'European':>9} {'delta':>7} {'P(ITM)':>7}")
    for leg in value["legs"]:
        lines.append(
            f"{leg['quantity']:+d} {leg['right']:4} {leg['strike']:>9.2f}  {100 * leg['vol']:>6.2f} "
            f"{number(leg['bid'], '{:.2f}'):>7} {number(leg['ask'], '{:.2f}'):>7} {leg['european']:>9.4f} "
            f"{leg['delta']:>+7.3f} {leg['prob_itm']:>7.1%}"
        )
    lines.append("value of the position, $/share (what a holder would receive to close; negative: pay):")
    lines.append(f"{'model':10} {'European':>10} {'American':>10}  other engines")
    names = {"american_tree": "tree", "american_simulated": "simulated", "american_cash_dividends": "cash dividends"}
    for name, model in value["models"].items():
        extra = [f"{names[key]} {v:.4f}" for key, v in model.items() if key in names]
        if "american_simulated_error" in model:
            extra.append(f"(+- {model['american_simulated_error']:.4f})")
        lines.append(f"{name:10} {model['european']:>10.4f} {model['american']:>10.4f}  {', '.join(extra)}")
    lines += wrapped_greeks(value["greeks"])
    kind = "credit" if value["credit"] >= 0 else "debit"
    breakevens = ", ".join(f"{at:.2f}" for at in value["breakevens"])
    quoted = value["natural_credit"]
    beside = "" if quoted is None else f" (natural {quoted:.2f}, mid {value['mid_credit']:.3f})"
    lines.append(
        f"{kind} {abs(value['credit']):.2f}{beside}: most it can make {number(value['max_profit'], '{:.2f}')}, lose "
        f"{number(value['max_loss'], '{:.2f}')}; breakevens {breakevens or 'none'}"
    )
    chances = value["probabilities"]
    lines.append(f"risk-neutral chance of a profit at expiry, under the smile: {chances['profit_at_expiry']:.1%}")
    if "touch_local_vol" in chances:
        found = chances["touch_local_vol"]
        lines.append(
            f"short strikes reached before expiry, under skew: put side first {found['lower_first']:.1%}, call side "
            f"first {found['upper_first']:.1%}, neither {found['inside']:.1%}"
        )
    if "touch_heston_simulated" in chances:
        found = chances["touch_heston_simulated"]
        lines.append(
            f"the same by fitted Heston, simulated: {found['lower_first']:.1%}, {found['upper_first']:.1%}, "
            f"{found['inside']:.1%} (+- {found['standard_error']:.1%}); the gap is model risk and misfit"
        )
    flat = chances["touch_constant_vol_approximation"]
    if flat:
        parts = ", ".join(f"{name} {share:.1%}" for name, share in flat.items())
        lines.append(f"the same at one volatility (an approximation, wrong under skew): {parts}")
    return lines


def wrapped_greeks(found: dict[str, float]) -> list[str]:
    units = {"vega": "a point", "theta": "a day", "charm": "a day", "rho": "a percent", "dividend_rho": "a percent",
             "vanna": "a point", "volga": "a point squared"}  # fmt: skip
    parts = [f"{name} {value:+.5f}" + (f" {units[name]}" if name in units else "") for name, value in found.items()]
    return [f"net greeks a share: {', '.join(parts[:5])}", f"  {', '.join(parts[5:])}"]


def write_price(folder: Path, subject: Subject, value: dict[str, Any]) -> None:
    """price.json and payoff.png."""
    (folder / "price.json").write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_payoff_png(folder / "payoff.png", subject, value)


def write_payoff_png(path: Path, subject: Subject, value: dict[str, Any]) -> None:
    """P&L a share by spot: now, at a third and two thirds of the life, at expiry; each leg keeps its volatility."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    terms, legs, colour = subject.terms, subject.legs, PALETTE["light"]
    strikes = [leg.strike for leg in legs]
    reach = 3.0 * max(leg.vol for leg in legs) * math.sqrt(terms.years)
    low = min(0.97 * min(strikes), terms.spot * math.exp(-reach))
    high = max(1.03 * max(strikes), terms.spot * math.exp(reach))
    spots = np.linspace(low, high, 400)
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        canvas = Canvas(figsize=(9, 5.2), dpi=100)
        FigureCanvasAgg(canvas)
        panel = canvas.subplots()
        canvas.subplots_adjust(left=0.08, right=0.98, top=0.92, bottom=0.1)
        for part, shade, style in ((1.0, "gain", "-"), (2 / 3, "second", "--"), (1 / 3, "edge", "-.")):
            left = terms.years * part
            worth = european_legs(terms, legs, spots, left).price @ np.array([leg.quantity for leg in legs])
            label = f"{365 * left:.0f} days left" if part < 1.0 else f"now ({365 * left:.0f} days left)"
            panel.plot(spots, worth + value["credit"], color=colour[shade], linestyle=style, linewidth=1.4, label=label)
        final = payoff(legs, spots) + value["credit"]
        panel.plot(spots, final, color=colour["ink"], linewidth=1.6, label="at expiry")
        panel.fill_between(spots, final, 0.0, where=final < 0.0, color=colour["loss"], alpha=0.15, linewidth=0)
        panel.axhline(0.0, color=colour["axis"], linewidth=0.8)
        panel.axvline(terms.spot, color=colour["muted"], linewidth=0.8, linestyle=":")
        for strike in strikes:
            panel.axvline(strike, color=colour["axis"], linewidth=0.6)
        panel.set_title(f"{subject.source}: P&L by spot and date", loc="left", fontsize=11)
        panel.set_xlabel("underlying, $")
        panel.set_ylabel("P&L, $ a share")
        panel.grid(color=colour["grid"], linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=9)
        canvas.savefig(path, format="png", metadata={"Software": None})
