"""American options."""

from typing import Any

import numpy as np

from core.pricing.american import ACCURATE, american_values
from core.pricing.barone_adesi_whaley import barone_adesi_whaley
from core.pricing.cash_dividends import cash_dividend_values, exercise_before_dividend, parity_of_dividend
from core.pricing.longstaff_schwartz import longstaff_schwartz
from core.pricing.trees import cox_ross_rubinstein, leisen_reimer
from tests.oracles.compare import Adapter, Case, Judge, disagreements

PATHS = 100_000
# The reference digits of long options are converged to a millionth of the price, not of a dollar: a fourth scheme and
# a tree extrapolated in its steps agree with ours.
CONVERGED = 1e-6


def terms(inputs: dict[str, Any]) -> tuple[Any, ...]:
    names = ("spot", "strike", "T", "vol", "rate")
    return (inputs["type"] == "call", *(float(inputs[name]) for name in names), float(inputs.get("div_yield", 0.0)))


def american_spy(inputs: dict[str, Any]) -> dict[str, Any]:
    args = terms(inputs)
    is_call, spot, strike, years, _, rate, _ = args
    price, delta, european, now = american_values(*args, ACCURATE)
    return {
        "price": price,
        "european_price": european,
        "early_exercise_premium": price - european,
        "intrinsic": max(spot - strike if is_call else strike - spot, 0.0),
        "exercise_now": bool(now),
        "delta": delta,
        "tree": leisen_reimer(*args, 1001, 1)[0],
        "interest": rate * strike * years,
    }


def spy_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    """Prices within the stated tolerance by two engines; ours within the one for engines of high precision."""
    expected = dict(case.body["expected"])
    stated = dict(case.body.get("tol") or {})
    tol = {**case.default_tol, **stated}
    tol |= {name: tol["price"] for name in ("european_price", "early_exercise_premium", "intrinsic")}
    if ours["interest"] <= 1e-4:  # at rates near 0 price == intrinsic can be rounding
        expected.pop("exercise_now", None)
    lines = disagreements(case._replace(body={**case.body, "expected": expected, "tol": tol}), ours)
    if abs(ours["tree"] - expected["price"]) > tol["price"]["abs"]:
        lines.append(f"tree: {ours['tree']}, expected {expected['price']}")
    sharp = tol.get("price_high_precision", {"abs": CONVERGED})["abs"] + CONVERGED * expected["price"]
    if abs(ours["price"] - expected["price"]) > sharp:
        lines.append(f"price at high precision: {ours['price']}, expected {expected['price']}")
    return lines


def american_published(inputs: dict[str, Any]) -> dict[str, Any]:
    args = terms(inputs)
    price, _, european, _ = american_values(*args, ACCURATE)
    approximate = barone_adesi_whaley(*args)
    ours = {
        "american": price,
        "american_published": price,
        "european": european,
        "early_exercise_premium": price - european,
        "barone_adesi_whaley": approximate,
        "barone_adesi_whaley_quantlib": approximate,
    }
    if "exercise_per_year" in inputs:
        dates = round(inputs["exercise_per_year"] * inputs["T"])
        ours["bermudan_50_per_year"] = cox_ross_rubinstein(*args, 20 * dates, 20)[0]
        ours["lsm"] = longstaff_schwartz(*args, dates, PATHS, np.random.default_rng(2001))
    return ours


def published_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    """Simulated figures are judged by the file's rule: ours within 3 standard errors of the exact Bermudan."""
    expected = {k: v for k, v in case.body["expected"].items() if not k.startswith("lsm_")}
    exact = dict(case.body.get("expected_full_precision") or {})
    tol = {k: v for k, v in (case.body.get("tol") or {}).items() if isinstance(v, dict)}
    if "bermudan" in tol:
        tol["bermudan_50_per_year"] = tol["bermudan"]
    for name in ("american", "american_published"):
        tol[name] = {**case.default_tol, **tol.get(name, {}), "rel": CONVERGED}
    body = {**case.body, "expected": expected, "expected_full_precision": exact, "tol": tol}
    lines = disagreements(case._replace(body=body), ours)
    if "lsm" in ours:
        away = abs(ours["lsm"].price - expected["bermudan_50_per_year"])
        if away > 3.0 * ours["lsm"].standard_error:
            lines.append(f"least-squares Monte Carlo {ours['lsm']}, Bermudan {expected['bermudan_50_per_year']}")
    return lines


def american_discrete_dividends(inputs: dict[str, Any]) -> dict[str, Any]:
    paid = np.array(inputs["dividends"], dtype=np.float64).reshape(-1, 2)
    args = (*terms(inputs)[:6], paid[:, 0].copy(), paid[:, 1].copy())
    american, european = (cash_dividend_values(*args, exercise)[0] for exercise in (True, False))
    return {"american": american, "european": european, "early_exercise_premium": american - european}


def dividends_judge(case: Case, ours: dict[str, Any]) -> list[str]:
    tol = {**case.default_tol, **(case.body.get("tol") or {})}
    same = {name: tol["price"] for name in ours}
    return disagreements(case._replace(body={**case.body, "tol": {**same, **tol}}), ours)


def early_exercise_exdiv(inputs: dict[str, Any]) -> dict[str, Any]:
    names = ("spot_cum", "dividend", "strike", "T_after", "vol", "rate")
    args = tuple(float(inputs[name]) for name in names)
    hold, exercise, decision = exercise_before_dividend(*args)
    by_parity, interest, put, _ = parity_of_dividend(*args)
    assert by_parity == (exercise > hold) or abs(exercise - hold) < 1e-9
    return {
        "hold_value": hold,
        "exercise_value": exercise,
        "exercise": bool(decision),
        "same_strike_put_ex_date": put,
        "interest_saved": interest,
    }


ADAPTERS: dict[str, Adapter] = {
    "american_spy": american_spy,
    "american_published": american_published,
    "american_discrete_dividends": american_discrete_dividends,
    "early_exercise_exdiv": early_exercise_exdiv,
}
JUDGES: dict[str, Judge] = {
    "american_spy": spy_judge,
    "american_published": published_judge,
    "american_discrete_dividends": dividends_judge,
}
