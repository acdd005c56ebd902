"""European options, their inversion, touch probabilities, local volatility."""

import math
from typing import Any

from core.pricing.black_scholes import european
from core.pricing.implied_vol import REASONS, implied_vol, no_vol_reason
from core.pricing.local_vol import dupire_variance
from core.pricing.ssvi import ssvi_derivatives
from core.pricing.touch import one_touch_at_hit, stay_inside_probability, touch_probability
from tests.oracles.compare import Adapter, Case, Judge, disagreements


def european_greeks(inputs: dict[str, Any]) -> dict[str, Any]:
    names = ("spot", "strike", "T", "vol", "rate", "div_yield")
    values = european(inputs["type"] == "call", *(inputs[name] for name in names))
    return {name: float(value) for name, value in values._asdict().items()}


def greeks_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    """The file states one tolerance for the price and one, `greeks`, for all else."""
    tol = {**case.default_tol, **(case.body.get("tol") or {})}
    if "greeks" in tol:
        tol = {**dict.fromkeys(ours, tol["greeks"]), **tol}
    return disagreements(case._replace(default_tol=tol), ours)


def inverted(inputs: dict[str, Any]) -> dict[str, Any]:
    years, carry = inputs["T"], inputs["rate"] - inputs["div_yield"]
    forward, discount = inputs["spot"] * math.exp(carry * years), math.exp(-inputs["rate"] * years)
    args = (inputs["type"] == "call", inputs["price"], forward, inputs["strike"], years, discount)
    vol = implied_vol(*args)
    if math.isnan(vol):
        return {"implied_vol": None, "error": REASONS[no_vol_reason(*args)]}
    return {"implied_vol": vol}


def touched(inputs: dict[str, Any]) -> dict[str, Any]:
    spot, rest = inputs["spot"], tuple(inputs[name] for name in ("T", "vol", "rate", "div_yield"))
    if inputs["kind"] == "double_no_touch":
        inside = stay_inside_probability(spot, inputs["lower"], inputs["upper"], *rest)
        return {"prob_stay_inside": inside, "prob_touch_either": 1.0 - inside}
    touch, beyond = touch_probability(spot, inputs["barrier"], *rest)
    if inputs["kind"] == "single":
        return {"prob_touch": touch, "prob_beyond_at_expiry": beyond}
    if inputs["kind"] == "one_touch_cash_at_hit":
        return {"price": inputs["cash"] * one_touch_at_hit(spot, inputs["barrier"], *rest)}
    share = touch if inputs["kind"] == "one_touch_cash_at_expiry" else 1.0 - touch
    return {"price": inputs["cash"] * share * math.exp(-inputs["rate"] * inputs["T"])}


def local_vol(inputs: dict[str, Any]) -> dict[str, Any]:
    """The file's theta(t) is a mean-reverting variance, integrated."""
    t, k, speed = inputs["T"], inputs["log_moneyness"], inputs["mean_rev"]
    gap, decay = inputs["v_short"] - inputs["v_long"], math.exp(-speed * t)
    theta = inputs["v_long"] * t + gap * (1.0 - decay) / speed
    w, w_k, w_kk, w_theta = ssvi_derivatives(k, theta, inputs["eta"], inputs["gamma"], inputs["rho"])
    variance = dupire_variance(k, w, w_k, w_kk, w_theta * (inputs["v_long"] + gap * decay))
    return {"local_vol": math.sqrt(variance), "implied_vol": math.sqrt(w / t)}


ADAPTERS: dict[str, Adapter] = {
    "european_greeks": european_greeks,
    "european_haug_published": european_greeks,
    "implied_vol": inverted,
    "touch_probability": touched,
    "local_vol": local_vol,
}
JUDGES: dict[str, Judge] = {"european_greeks": greeks_judge}
