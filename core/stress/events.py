"""Moves of the past as shocks: data/presets/shocks.yaml, its facts checked and turned into factors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError
from core.jit import ROOT
from core.shocks import MONTH, Shock

SHOCK_FILE = ROOT / "data" / "presets" / "shocks.yaml"
QUARTER = 93.0 / 365.0  # the term that VIX3M measures
PAIRS = ("spot", "vol")
WORDS = ("name", "source", "skew_source")


class Event(NamedTuple):
    """One move of the past."""

    key: str
    name: str
    shock: Shock
    vol_factor_3m: float | None  # None where VIX3M is not known
    facts: dict[str, Any]  # as the file has them


def term_exponent(vol_factor: float, vol_factor_3m: float) -> float:
    """Exponent by which the log factor falls from 30 to 93 days."""
    return math.log(math.log(vol_factor) / math.log(vol_factor_3m)) / math.log(QUARTER / MONTH)


def factor_of(pair: list[float]) -> float:
    return float(pair[1]) / float(pair[0])


def event_of(key: str, facts: dict[str, Any], assumed_term: float, where: str) -> Event:
    """One entry of the file; a ConfigError that names what is missing or makes no sense."""
    missing = [name for name in (*PAIRS, "vol3m", "skew", "days", *WORDS) if name not in facts]
    if missing:
        raise ConfigError(f"{where}: shock '{key}' lacks {', '.join(missing)}")
    pairs = [facts[name] for name in PAIRS] + ([] if facts["vol3m"] is None else [facts["vol3m"]])
    if not all(isinstance(pair, list) and len(pair) == 2 and min(pair) > 0.0 for pair in pairs):
        raise ConfigError(f"{where}: shock '{key}' needs spot, vol and vol3m as two positive numbers, from and to")
    if not all(str(facts[name]).strip() for name in WORDS) or not facts["days"] >= 0:
        raise ConfigError(f"{where}: shock '{key}' needs words in {', '.join(WORDS)}, and days of 0 or more")
    vol = factor_of(facts["vol"])
    quarter = None if facts["vol3m"] is None else factor_of(facts["vol3m"])
    if quarter is not None and not (vol - 1.0) * (quarter - 1.0) > 0.0:
        raise ConfigError(f"{where}: shock '{key}' moves vol and vol3m apart; its term cannot be computed")
    term = assumed_term if quarter is None else term_exponent(vol, quarter)
    move = factor_of(facts["spot"]) - 1.0
    shock = Shock(move, vol, term, float(facts["skew"]), float(facts["days"]), slide=1.0)
    return Event(key, str(facts["name"]), shock, quarter, facts)


def read_events(path: Path = SHOCK_FILE) -> list[Event]:
    """Every shock of the file, in its order."""
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        shocks, term = table["shocks"], float(table["assumed_term"])
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ConfigError(f"{path.name}: not a table of shocks ({error})") from None
    return [event_of(key, facts, term, path.name) for key, facts in shocks.items()]
