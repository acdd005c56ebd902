"""Stochastic-volatility, smile and jump models."""

import math
from typing import Any

import numpy as np

from core.pricing.black_scholes import european
from core.pricing.calibration import HESTON, calibrate_heston
from core.pricing.heston import heston_price
from core.pricing.implied_vol import implied_vols
from core.pricing.jump_diffusion import merton_price
from core.pricing.sabr import sabr_vol
from core.pricing.smile import SmileQuotes
from tests.oracles.compare import Adapter, Case, Judge, disagreements


def terms(inputs: dict[str, Any]) -> tuple[bool, float, float, float, float]:
    years = float(inputs["T"])
    forward = inputs["spot"] * math.exp((inputs["rate"] - inputs["div_yield"]) * years)
    return inputs["type"] == "call", forward, float(inputs["strike"]), years, math.exp(-inputs["rate"] * years)


def heston(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"price": float(heston_price(*terms(inputs), *(float(inputs[name]) for name in HESTON)))}


def merton_jump(inputs: dict[str, Any]) -> dict[str, Any]:
    names = ("vol", "jump_intensity", "jump_mean", "jump_std")
    return {"price": merton_price(*terms(inputs), *(float(inputs[name]) for name in names))}


def sabr(inputs: dict[str, Any]) -> dict[str, Any]:
    names = ("strike", "forward", "T", "alpha", "beta", "nu", "rho")
    return {"lognormal_vol": sabr_vol(*(float(inputs[name]) for name in names))}


def heston_calibration(inputs: dict[str, Any]) -> dict[str, Any]:
    rows = [dict(zip(inputs["columns"], row, strict=True)) for row in inputs["quotes"]]
    rows.sort(key=lambda row: (row["dte"], row["strike"]))
    years = np.array([row["dte"] / 365.0 for row in rows])
    strike, price = (np.array([float(row[name]) for row in rows]) for name in ("strike", "price"))
    is_call = np.array([row["type"] == "call" for row in rows])
    forward = inputs["spot"] * np.exp((inputs["rate"] - inputs["div_yield"]) * years)
    discount = np.exp(-inputs["rate"] * years)
    vol = implied_vols(is_call, price, forward, strike, years, discount)
    vega = european(is_call, forward, strike, years, vol, 0.0).vega * discount
    unknown = np.full(len(rows), np.nan)
    fitted = calibrate_heston(SmileQuotes(years, forward, discount, strike, is_call, price, unknown, vol, vega))
    again = heston_price(is_call, forward, strike, years, discount, **fitted.parameters)
    return {**fitted.parameters, "reprice_max_abs": float(np.abs(again - price).max())}


def calibration_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    lines = disagreements(case, ours)
    limit = {**case.default_tol, **(case.body.get("tol") or {})}["reprice_max_abs"]
    if not ours["reprice_max_abs"] <= limit:
        lines.append(f"reprices within {ours['reprice_max_abs']} $, allowed {limit}")
    return lines


ADAPTERS: dict[str, Adapter] = {
    "heston": heston,
    "heston_calibration": heston_calibration,
    "merton_jump": merton_jump,
    "sabr": sabr,
}
JUDGES: dict[str, Judge] = {"heston_calibration": calibration_judge}
