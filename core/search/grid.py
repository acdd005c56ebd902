"""What a search tries: grids as data, checked before anything runs.

    about: what this grid is for
    preset: classic                     # settings to begin with, where the command names no preset
    method: grid                        # grid, random, sobol, tpe, cmaes; trials: 500 for all but grid
    objective: net_profit_over_max_drawdown
    limits: ["max_drawdown_pct <= 25"]
    phases:                             # one after the other; what a phase recommends is where the next begins
      - name: exits
        vary:
          strategy.exits.profit_frac: [0.4, 0.5, 0.6]
          strategy.exits.stop_multiple: {from: 1, to: 3, step: 0.5}
        where: ["strategy.exits.profit_frac < 0.6"]
        set: {strategy.exits.stop_on: mid}

A grid of one phase may give `vary`, `where` and `set` at the top. Values are those of the settings' table.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from core.config import checked, flatten, preset_names, read_yaml, suggestion, unknown
from core.errors import ConfigError
from core.jit import ROOT
from core.settings import BY_PATH

GRIDS = ROOT / "data" / "grids"
MOST_LEVELS, WHOLE = 10_000, 1e-6  # levels of a range; how far from whole its steps may be
KEYS = ("about", "preset", "method", "trials", "objective", "min_trades", "limits", "phases", "vary", "where", "set")
WISHES = {
    "method": (str, "a method's name"),
    "trials": (int, "a whole number"),
    "objective": (str, "a metric's name"),
    "min_trades": (int, "a whole number"),
    "limits": (list, "a list such as ['max_drawdown_pct <= 20']"),
}
PHASE_KEYS = ("name", "vary", "where", "set")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip

Row = tuple[Any, ...]  # values of a trial's paths


class Condition(NamedTuple):
    """`left sign right`: a path, a comparison, and another path or a value."""

    left: str
    sign: str
    right: Any  # a path where `of` is set
    of: bool

    def reads(self) -> tuple[str, ...]:
        """The paths that it compares."""
        return (self.left, self.right) if self.of else (self.left,)

    def holds(self, values: Mapping[str, Any]) -> bool:
        return COMPARISONS[self.sign](values[self.left], values[self.right] if self.of else self.right)


class Phase(NamedTuple):
    """Levels of each varied path, which of their combinations count, and what is set for all of them."""

    name: str
    levels: dict[str, tuple[Any, ...]]
    where: tuple[Condition, ...]
    fixed: dict[str, Any]

    def combinations(self) -> Iterator[Row]:
        """Values of the varied paths, in the order of the paths, the last one fastest."""
        return product(*self.levels.values())

    def admits(self, values: Mapping[str, Any]) -> bool:
        return all(condition.holds(values) for condition in self.where)


class Grid(NamedTuple):
    """Phases, and the wishes of the file; None where it has none."""

    name: str
    about: str
    phases: tuple[Phase, ...]
    preset: str | None
    method: str | None
    trials: int | None
    objective: str | None
    min_trades: int | None
    limits: tuple[str, ...]


def levels_of_grid(grid: Grid) -> dict[str, tuple[Any, ...]]:
    """Every level that a phase varies a setting by, numbers ascending."""
    found: dict[str, list[Any]] = {}
    for phase in grid.phases:
        for path, levels in phase.levels.items():
            found.setdefault(path, []).extend(level for level in levels if level not in found.get(path, ()))
    return {
        path: tuple(sorted(levels)) if BY_PATH[path].kind in ("int", "float") else tuple(levels)
        for path, levels in found.items()
    }


def grid_names() -> list[str]:
    return sorted(path.stem for path in GRIDS.glob("*.yaml"))


def read_grid(name: str) -> Grid:
    """A grid by its name in data/grids, or by its file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        names = grid_names()
        if name not in names:
            raise ConfigError(unknown("grid", name, names))
        path = GRIDS / f"{name}.yaml"
    return parse_grid(read_yaml(path), path.stem)


def parse_grid(tree: Mapping[str, Any], name: str) -> Grid:
    """A grid from its file's mapping."""
    refuse_unknown(tree, KEYS, f"grid {name}")
    phases = tree.get("phases")
    if phases is None:
        phases = [{key: tree[key] for key in ("vary", "where", "set") if key in tree}]
    elif any(key in tree for key in ("vary", "where", "set")):
        raise ConfigError(f"grid {name}: gives phases and vary, where or set beside them; put those into a phase")
    if not isinstance(phases, list) or not phases:
        raise ConfigError(f"grid {name}: phases is {phases!r}; give a list of phases, each with vary")
    called = ["grid"] if len(phases) == 1 else [f"phase {i + 1}" for i in range(len(phases))]
    parsed = tuple(parse_phase(phase, f"grid {name}, phase {i + 1}", called[i]) for i, phase in enumerate(phases))
    names = [phase.name for phase in parsed]
    if len(set(names)) < len(names):
        raise ConfigError(f"grid {name}: its phases are called {', '.join(names)}; give each a name of its own")
    preset = tree.get("preset")
    if preset is not None and preset not in preset_names():
        raise ConfigError(f"grid {name}: {unknown('preset', str(preset), preset_names())}")
    for key, (kind, words) in WISHES.items():
        given = tree.get(key)
        if given is not None and (not isinstance(given, kind) or isinstance(given, bool)):
            raise ConfigError(f"grid {name}: {key} is {given!r}; give {words}")
    return Grid(
        name=name,
        about=str(tree.get("about", "")).strip(),
        phases=parsed,
        preset=preset,
        method=tree.get("method"),
        trials=tree.get("trials"),
        objective=tree.get("objective"),
        min_trades=tree.get("min_trades"),
        limits=tuple(tree.get("limits") or ()),
    )


def refuse_unknown(tree: Any, keys: Iterable[str], where: str) -> None:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: is {tree!r}; give a mapping with {', '.join(keys)}")
    for key in tree:
        if key not in keys:
            raise ConfigError(f"{where}: {unknown('key', str(key), keys)}")


def parse_phase(tree: Any, where: str, called: str = "grid") -> Phase:
    refuse_unknown(tree, PHASE_KEYS, where)
    vary = flatten_levels(tree.get("vary"), where)
    if not vary:
        raise ConfigError(f"{where}: varies nothing; give vary: {{path: [values]}}")
    levels = {path: levels_of(path, values, where) for path, values in vary.items()}
    given = tree.get("set") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: set is {given!r}; give a mapping of settings to values")
    fixed = {path: checked(path, value, where) for path, value in flatten(given, where).items()}
    for path in fixed:
        refuse_market(path, where)
        if path in levels:
            raise ConfigError(f"{where}: {path} is varied and set; leave one out")
    conditions = tree.get("where", [])
    if not isinstance(conditions, list):
        raise ConfigError(f"{where}: where is {conditions!r}; give a list of conditions such as 'path < 0.5'")
    return Phase(
        str(tree.get("name", called)), levels, tuple(parse_condition(text, where) for text in conditions), fixed
    )


def flatten_levels(tree: Any, where: str, prefix: str = "") -> dict[str, Any]:
    """{'strategy': {'exits': {'profit_frac': [...]}}} by dotted paths; a mapping with `from` is a range."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: vary is {tree!r}; give a mapping of settings to lists or ranges")
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and "from" not in value:
            flat.update(flatten_levels(value, where, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def refuse_market(path: str, where: str) -> None:
    if path.startswith("market.") or path == "data.intraday_quotes":
        raise ConfigError(f"{where}: {path} chooses the market, which all trials share; give it on the command line")


def levels_of(path: str, given: Any, where: str) -> tuple[Any, ...]:
    """The levels of one setting in canonical form, numbers ascending; each level once."""
    if path not in BY_PATH:
        raise ConfigError(f"{where}: unknown setting '{path}'{suggestion(path, BY_PATH)}")
    refuse_market(path, where)
    values = spread(path, given, where) if isinstance(given, Mapping) else given
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{where}: {path} is {given!r}; give a list, or a range {{from: a, to: b, step: c}}")
    levels = [checked(path, value, where) for value in values]
    if len(set(levels)) < len(levels):
        raise ConfigError(f"{where}: {path} names a level twice: {', '.join(map(str, levels))}")
    return tuple(sorted(levels)) if BY_PATH[path].kind in ("int", "float") else tuple(levels)


def spread(path: str, given: Mapping[str, Any], where: str) -> list[Any]:
    """The values of a range: from, to, and step or count."""
    refuse_unknown(given, ("from", "to", "step", "count"), f"{where}: {path}")
    mistake = f"{where}: {path} is {dict(given)}; "
    if ("step" in given) == ("count" in given):
        raise ConfigError(mistake + "give {from: a, to: b, step: c} or {from: a, to: b, count: n}")
    try:
        low, high = float(given["from"]), float(given["to"])
        steps = float(given["count"]) - 1.0 if "count" in given else (high - low) / float(given["step"])
        count = round(steps) + 1
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise ConfigError(mistake + "give {from: a, ...} in numbers, none of them infinite or a step of 0") from None
    if high < low:
        raise ConfigError(mistake + "to is below from")
    if not 1 <= count <= MOST_LEVELS:
        raise ConfigError(mistake + f"that makes {count} levels, give 1 to {MOST_LEVELS}")
    if abs(steps - round(steps)) > WHOLE:
        raise ConfigError(mistake + ("count is no whole number" if "count" in given else "no whole number of steps"))
    if count == 1 and high > low:
        raise ConfigError(mistake + "one level cannot be both ends")
    values = [round(low + i * (high - low) / max(count - 1, 1), 12) for i in range(count)]
    return [int(v) if BY_PATH[path].kind == "int" and v == int(v) else v for v in values]


def parse_condition(text: Any, where: str) -> Condition:
    """'path < path' or 'path <= value' as data; nothing is executed."""
    for sign in COMPARISONS:
        left, found, right = str(text).partition(sign)
        if found:
            break
    left, right = left.strip(), right.strip()
    if not found or left not in BY_PATH:
        known = f"unknown setting '{left}'{suggestion(left, BY_PATH)}" if found else "no comparison"
        raise ConfigError(f"{where}: condition {text!r}: {known}; write 'path < path' or 'path <= value'")
    if right in BY_PATH:
        return Condition(left, sign, right, True)
    return Condition(left, sign, checked(left, right, f"{where}, condition {text!r}"), False)
