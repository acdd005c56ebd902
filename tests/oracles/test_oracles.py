"""Our functions against values computed elsewhere: one adapter a topic, for any folder of the schema.

A topic is a file `<topic>.json` of schema quantor-oracle/1. Its adapter takes the inputs of
a case and returns our value of every field. A field that a later part of the project brings
is returned as `Later(why)`: the others are compared, then the case shows as skipped with
that reason. The folder is given by `--oracles DIR` (default ../shared/oracles).
"""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from core import metrics, payoff
from core.types import CALL, LEG_SIGN, PUT
from tests.conftest import FOLDERS, _folder

SCHEMA = "quantor-oracle/1"


class Later(NamedTuple):
    """A field that cannot be computed yet, and why."""

    why: str


class Case(NamedTuple):
    topic: str
    body: dict[str, Any]
    default_tol: dict[str, Any]


# --- adapters: inputs of a case -> our values by field ------------------------------------------------------


def performance_metrics(inputs: dict[str, Any]) -> dict[str, Any]:
    returns = np.array(inputs["returns"], dtype=np.float64)
    cash, per_year = float(inputs["risk_free"]), inputs["periods_per_year"]
    total = metrics.cumulative_return(returns)
    growth = metrics.cagr(total, len(returns), per_year)
    fall = metrics.max_drawdown(np.cumprod(np.concatenate(([1.0], 1.0 + returns))))
    moments = metrics.skew_and_kurtosis(returns) or (None, None)
    return {
        "cumulative_return": total,
        "annual_return": growth,
        "annual_volatility": metrics.annual_volatility(returns, per_year),
        "sharpe": metrics.sharpe(returns, cash, per_year),
        "sortino": metrics.sortino(returns, cash, per_year),
        "max_drawdown": -fall.fraction if fall else None,
        "calmar": metrics.calmar(growth, fall.fraction if fall else None),
        "omega": metrics.profit_factor(returns),
        "tail_ratio": metrics.tail_ratio(returns),
        "var_5pct": metrics.value_at_risk(returns),
        "cvar_5pct": metrics.expected_shortfall(returns),
        "skew": moments[0],
        "kurtosis_raw": moments[1],
        "profit_factor": metrics.profit_factor(returns),
        "win_rate": metrics.win_rate(returns),
        "payoff_ratio": metrics.payoff_ratio(returns),
        "expectancy_per_period": metrics.mean_of(returns),
    }


LEG_ORDER = ("long_put", "short_put", "short_call", "long_call")
RIGHT = np.array([PUT, PUT, CALL, CALL], np.int8)
SIGN = np.array(LEG_SIGN, np.int32)


def cents(usd: float) -> int:
    return round(100 * usd)


def cents_of(usd: dict[str, float]) -> np.ndarray:
    return np.array([cents(usd[leg]) for leg in LEG_ORDER], np.int32)


def iron_condor(inputs: dict[str, Any]) -> dict[str, Any]:
    return condor_margin(inputs) if inputs["kind"] == "margin" else condor_lifecycle(inputs)


def condor_margin(inputs: dict[str, Any]) -> dict[str, Any]:
    """One price a leg, so bid = ask."""
    strike, price = cents_of(inputs), cents_of(inputs["prices"])
    credit = payoff.natural_credit_cents(SIGN, price, price)
    rules = Later("margin rules arrive with the risk layer")
    return {
        "credit": credit * inputs["contracts"],  # cents per share x 100 shares = $
        "max_loss": payoff.max_loss_cents(RIGHT, strike, SIGN, credit) * inputs["contracts"],
        "gross_requirement": rules,
        "net_buying_power": rules,
    }


def condor_lifecycle(inputs: dict[str, Any]) -> dict[str, Any]:
    strike = cents_of(inputs)
    bid = cents_of({leg: quote["bid"] for leg, quote in inputs["quotes"].items()})
    ask = cents_of({leg: quote["ask"] for leg, quote in inputs["quotes"].items()})
    usd = inputs["multiplier"] * inputs["contracts"] / 100  # $ of the position per cent a share
    credit = payoff.natural_credit_cents(SIGN, bid, ask)
    short_put, short_call = int(strike[1]), int(strike[2])
    worst_below, _ = payoff.payoff_range_cents(RIGHT, strike, SIGN, 0, short_put)
    worst_above, _ = payoff.payoff_range_cents(RIGHT, strike, SIGN, short_call, payoff.PRICE_CEILING_CENTS)
    breakevens = payoff.nominal_breakevens_cents(short_put, short_call, credit)
    reached = np.empty(5)
    count = payoff.breakevens_cents(RIGHT, strike, SIGN, credit, reached)
    # The file states short strike -/+ credit also for a side that cannot lose, where P&L never crosses 0.
    sides = zip(breakevens, (worst_below, worst_above), strict=True)
    assert reached[:count].tolist() == [price for price, worst in sides if 0 <= credit < -worst]
    return {
        "natural_credit": credit / 100,
        "mid_credit": payoff.mid_credit_twice_cents(SIGN, bid, ask) / 200,
        "natural_debit_to_close": payoff.natural_debit_cents(SIGN, bid, ask) / 100,
        "round_trip_slippage": payoff.round_trip_cents(SIGN, bid, ask) / 100,
        "max_profit": payoff.max_profit_cents(RIGHT, strike, SIGN, credit) * usd,
        "max_loss": payoff.max_loss_cents(RIGHT, strike, SIGN, credit) * usd,
        "max_loss_put_side": -(credit + worst_below) * usd,
        "max_loss_call_side": -(credit + worst_above) * usd,
        "breakeven_low": breakevens[0] / 100,
        "breakeven_high": breakevens[1] / 100,
        "gross_requirement": payoff.max_loss_cents(RIGHT, strike, SIGN, 0) * usd,
        "pnl_at_expiry": [
            payoff.expiry_pnl_cents(RIGHT, strike, SIGN, credit, cents(settle)) * usd for settle in inputs["settle_at"]
        ],
    }


def deflated_sharpe(inputs: dict[str, Any]) -> dict[str, Any]:
    """The probabilistic half: everything per period; deflation by the number of trials comes later."""
    n, skew, kurtosis = inputs["n_obs"], inputs["skew"], inputs["kurtosis"]
    if inputs.get("kind") == "psr":
        sharpe, benchmark = inputs["sharpe_per_period"], inputs["benchmark"]
        return {
            "psr": metrics.psr_from_moments(sharpe, n, skew, kurtosis, benchmark),
            "psr_if_normal": metrics.psr_from_moments(sharpe, n, 0.0, 3.0, benchmark),
        }
    later = Later("deflation by the number of trials arrives with the optimizer")
    per_period = inputs["sharpe_annual"] / math.sqrt(inputs["periods_per_year"])
    return {
        "psr_vs_zero": metrics.psr_from_moments(per_period, n, skew, kurtosis),
        "sr0_per_period": later,
        "deflated_sharpe": later,
    }


ADAPTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "performance_metrics": performance_metrics,
    "iron_condor": iron_condor,
    "deflated_sharpe": deflated_sharpe,
}

NOT_YET = {
    "american_discrete_dividends": "the American pricer arrives with the pricing library",
    "american_published": "the American pricer arrives with the pricing library",
    "american_spy": "the American pricer arrives with the pricing library",
    "early_exercise_exdiv": "early exercise arrives with the assignment model",
    "european_greeks": "the European greeks are not wired yet",
    "european_haug_published": "the European greeks are not wired yet",
    "fuzzy_sugeno": "Sugeno inference arrives with the fuzzy engine",
    "heston": "Heston arrives with the stochastic models",
    "heston_calibration": "Heston arrives with the stochastic models",
    "hmm_markov_switching": "regime filters arrive with the latent features",
    "implied_vol": "the European inversion is not wired yet",
    "indicators": "indicators arrive with the feature columns",
    "iv_rank": "IV rank arrives with the feature columns",
    "kalman": "state filters arrive with the latent features",
    "local_vol": "local volatility arrives with the stochastic models",
    "merton_jump": "jump diffusion arrives with the stochastic models",
    "ou_mle": "the OU fit arrives with the latent features",
    "particle_filter": "state filters arrive with the latent features",
    "pbo_cscv": "overfitting statistics arrive with the optimizer",
    "realized_vol": "realised volatility arrives with the feature columns",
    "sabr": "SABR arrives with the stochastic models",
    "svi": "raw SVI and its conversions are not wired yet",
    "touch_probability": "touch probabilities arrive with the pricing library",
}


# --- comparison, as the schema states it --------------------------------------------------------------------


def tolerance(field: str, case: Case) -> tuple[float, float]:
    """(abs, rel) for a field: the case goes before the file, an entry for the field before one for all."""
    for stated in (case.body.get("tol") or {}, case.default_tol):
        entry = stated.get(field, stated)
        if "abs" in entry or "rel" in entry:
            return entry.get("abs", 0.0), entry.get("rel", 0.0)
    raise AssertionError(f"{case.topic} {case.body['id']}: no tolerance for {field}")


def agrees(ours: Any, expected: Any, case: Case, field: str) -> bool:
    """Numbers: |diff| <= abs + rel |expected|; null against none only; words and truth values exactly."""
    if expected is None:
        return ours is None
    if isinstance(expected, list):
        return (
            isinstance(ours, (list, tuple, np.ndarray))
            and len(ours) == len(expected)
            and all(agrees(a, b, case, field) for a, b in zip(ours, expected, strict=True))
        )
    if isinstance(expected, (bool, str)):
        return type(ours) is type(expected) and ours == expected
    if ours is None:
        return False
    absolute, relative = tolerance(field, case)
    return abs(ours - expected) <= absolute + relative * abs(expected)  # False for NaN


def disagreements(case: Case, ours: dict[str, Any]) -> list[str]:
    """One line per expected field (printed and full-precision figures) that ours does not meet."""
    lines = []
    for group in ("expected", "expected_full_precision"):
        for field, expected in case.body.get(group, {}).items():
            if field not in ours:
                lines.append(f"{field}: the adapter gives no value")
            elif not isinstance(ours[field], Later) and not agrees(ours[field], expected, case, field):
                lines.append(f"{field}: ours {ours[field]}, {group} {expected}")
    return lines


# --- the cases of the folder --------------------------------------------------------------------------------


def cases_of(path: Path) -> list[Any]:
    """A parameter per case; a topic that waits or that nobody knows is one parameter of its own."""
    topic = path.stem
    if topic in NOT_YET:
        return [pytest.param(topic, marks=pytest.mark.skip(reason=f"{topic}: {NOT_YET[topic]}"), id=topic)]
    if topic not in ADAPTERS:
        return [pytest.param(f"{topic}: no adapter and no entry in NOT_YET", id=topic)]
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema") != SCHEMA or not content.get("cases"):
        return [pytest.param(f"{path.name}: not a file of schema {SCHEMA} with cases", id=topic)]
    return [
        pytest.param(Case(topic, body, content["default_tol"]), id=f"{topic}-{body['id']}") for body in content["cases"]
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    folder = _folder(metafunc.config, "oracles")
    params = [param for path in sorted(folder.glob("*.json")) for param in cases_of(path)]
    if not params:
        why = f"no oracle files in {FOLDERS['oracles']}; give their folder with --oracles DIR"
        params = [pytest.param(why, marks=pytest.mark.skip(reason=why), id="none")]
    metafunc.parametrize("case", params)


def test_ours_agrees_with_the_reference(case):
    if isinstance(case, str):
        pytest.fail(case)
    ours = ADAPTERS[case.topic](case.body["inputs"])
    assert not disagreements(case, ours)
    waiting = {field: value.why for field, value in ours.items() if isinstance(value, Later)}
    if waiting.keys() & case.body["expected"].keys():
        compared = sorted(case.body["expected"].keys() - waiting.keys())
        pytest.skip(f"compared {', '.join(compared) or 'nothing'}; {'; '.join(sorted(set(waiting.values())))}")


# --- the comparison itself must be able to fail (no folder needed) ------------------------------------------

SPREAD = {
    "id": "hand",
    "inputs": {
        "kind": "lifecycle",
        **{"long_put": 90, "short_put": 95, "short_call": 105, "long_call": 115},
        "contracts": 2,
        "multiplier": 100,
        "quotes": {
            "long_put": {"bid": 0.60, "ask": 0.64},
            "short_put": {"bid": 1.50, "ask": 1.54},
            "short_call": {"bid": 1.40, "ask": 1.46},
            "long_call": {"bid": 0.20, "ask": 0.24},
        },
        "settle_at": [100, 93, 120],
    },
    "expected": {
        **{"natural_credit": 2.02, "mid_credit": 2.11, "natural_debit_to_close": 2.20},
        **{"round_trip_slippage": 0.18, "max_profit": 404.0, "max_loss": 1596.0},
        **{"max_loss_put_side": 596.0, "max_loss_call_side": 1596.0, "gross_requirement": 2000.0},
        **{"breakeven_low": 92.98, "breakeven_high": 107.02, "pnl_at_expiry": [404.0, 4.0, -1596.0]},
    },
}


def hand_case(**changes):
    return Case("iron_condor", {**copy.deepcopy(SPREAD), **changes}, {"abs": 1e-6})


def test_a_condor_worked_by_hand_agrees():
    assert disagreements(hand_case(), iron_condor(SPREAD["inputs"])) == []


@pytest.mark.parametrize("field", SPREAD["expected"])
def test_any_altered_value_is_noticed(field):
    altered = copy.deepcopy(SPREAD["expected"])
    altered[field] = altered[field] + 0.01 if field != "pnl_at_expiry" else [404.0, 4.0, -1596.01]
    (line,) = disagreements(hand_case(expected=altered), iron_condor(SPREAD["inputs"]))
    assert line.startswith(field)


@pytest.mark.parametrize(
    ("ours", "expected", "same"),
    [
        (1.0 + 1.5e-3, 1.0, True),
        (1.0 + 2.5e-3, 1.0, False),
        (math.nan, 1.0, False),
        (None, 1.0, False),
        (0.0, None, False),
        (math.nan, None, False),
        (None, None, True),
        ([1.0, None], [1.0, None], True),
        ([1.0], [1.0, 2.0], False),
        (1, True, False),
        ("below", "above", False),
    ],
)
def test_null_means_none_and_unknown_never_passes(ours, expected, same):
    case = hand_case(tol={"x": {"abs": 1e-3, "rel": 1e-3}})
    assert agrees(ours, expected, case, "x") is same


def test_the_tolerance_of_a_case_goes_before_that_of_its_file():
    case = Case("t", {"id": "1", "tol": {"price": {"abs": 2.0}}}, {"delta": {"rel": 3.0}, "vega": {"abs": 4.0}})
    assert tolerance("price", case) == (2.0, 0.0)
    assert tolerance("delta", case) == (0.0, 3.0)
    assert tolerance("delta", case._replace(body={"id": "1", "tol": {"abs": 5.0}})) == (5.0, 0.0)
    with pytest.raises(AssertionError, match="no tolerance for rho"):
        tolerance("rho", case)


def test_a_field_the_adapter_does_not_know_is_a_disagreement():
    assert disagreements(hand_case(expected={"theta": 1.0}), {}) == ["theta: the adapter gives no value"]


def test_an_unknown_topic_fails_and_a_waiting_one_is_skipped(tmp_path):
    (unknown,) = cases_of(tmp_path / "astrology.json")
    assert "no adapter" in unknown.values[0] and not unknown.marks
    (waiting,) = cases_of(tmp_path / "heston.json")
    assert waiting.marks[0].name == "skip"


def test_no_topic_both_waits_and_has_an_adapter():
    assert not ADAPTERS.keys() & NOT_YET.keys()
