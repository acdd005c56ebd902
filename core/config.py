"""Settings: defaults < config.py < --preset < --config FILE.yaml < --set key=value.

Files are read as data: Python files with `ast.literal_eval`, YAML with `safe_load`.
A key that is not given never overwrites; an unknown key fails with a suggestion.
"""

from __future__ import annotations

import ast
import datetime as dt
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from core.errors import ConfigError
from core.settings import BY_PATH, LIVE, LIVE_BY_PATH, SETTINGS, Setting

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "data" / "presets"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


class Config(NamedTuple):
    """Effective settings: value and source of each path; those of the live loop apart, no run depends on them."""

    values: dict[str, Any]
    sources: dict[str, str]
    live: Mapping[str, Any] = MappingProxyType({})

    def __getitem__(self, path: str) -> Any:  # type: ignore[override]
        return self.values[path]

    def hash(self) -> str:
        """Hex digest of the values (not of where they came from)."""
        return hash_of_parts(part_of(path, self.values[path]) for path in sorted(self.values))

    def with_values(self, source: str = "code", **changes: Any) -> Config:
        """A copy with settings changed; dots in paths are written as double underscores."""
        values, sources = dict(self.values), dict(self.sources)
        for name, value in changes.items():
            path = name.replace("__", ".")
            values[path] = checked(path, value, source)
            sources[path] = source
        check_together(values)
        return Config(values, sources, self.live)


def part_of(path: str, value: Any) -> str:
    """One setting as it goes into the hash of all."""
    return f"{json.dumps(path)}: {json.dumps(value)}"


def hash_of_parts(parts: Iterable[str]) -> str:
    """Config.hash from the settings' parts in order of their paths: the digest of them all as one JSON object."""
    return hashlib.sha256(f"{{{', '.join(parts)}}}".encode()).hexdigest()


def minutes_of(text: str) -> int:
    """'10:30' -> 630 minutes after midnight."""
    hour, minute = (int(part) for part in text.split(":"))
    if not (0 <= hour < 24 and 0 <= minute < 60):
        raise ValueError(f"{text} is no time of day")
    return hour * 60 + minute


def suggestion(word: str, known: Iterable[str]) -> str:
    """', did you mean X?' or nothing. The last part of a dotted path counts most."""
    options = list(known)
    close = difflib.get_close_matches(word, options, 1, 0.5)
    if not close:
        tails = {path.rsplit(".", 1)[-1]: path for path in options}
        near = difflib.get_close_matches(word.rsplit(".", 1)[-1], list(tails), 1, 0.5)
        close = [tails[near[0]]] if near else []
    return f"; did you mean '{close[0]}'?" if close else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """'unknown grid 'clasic'; did you mean 'classic'? (there are: classic, exits)'."""
    options = list(known)
    return f"unknown {kind} '{word}'{suggestion(word, options)} (there are: {', '.join(options)})"


def _number(setting: Setting, value: Any, source: str) -> float | int:
    name = setting.path
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ConfigError(
                f"{name} is {value!r} ({source}); give a number in {setting.unit or 'its unit'}"
            ) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ConfigError(f"{name} is {value!r} ({source}); give a number in {setting.unit or 'its unit'}")
    assert setting.low is not None and setting.high is not None
    if not setting.low <= value <= setting.high:
        raise ConfigError(
            f"{name} is {value:g} ({source}); {setting.text}: give {setting.low:g} to {setting.high:g} ({setting.unit})"
        )
    if setting.kind == "int":
        if value != int(value):
            raise ConfigError(f"{name} is {value:g} ({source}); give a whole number of {setting.unit}")
        return int(value)
    return float(value)


def _text(setting: Setting, value: Any, source: str) -> str | None:
    name = setting.path
    if setting.kind == "date":
        if value is None or value in ("", "none", "null"):
            return None
        try:
            return dt.date.fromisoformat(str(value)).isoformat()
        except ValueError:
            raise ConfigError(f"{name} is {value!r} ({source}); give a date such as 2018-02-05") from None
    if setting.kind == "time":
        if isinstance(value, int) and not isinstance(value, bool):  # YAML reads an unquoted 10:30 as 630
            value = f"{value // 60}:{value % 60}"
        try:
            stamp = minutes_of(str(value))
        except ValueError:
            stamp = -1
        if not 0 <= stamp < 24 * 60:
            raise ConfigError(f"{name} is {value!r} ({source}); give a New York time such as 10:30")
        return f"{stamp // 60:02d}:{stamp % 60:02d}"
    if setting.kind == "weekdays":
        days = [
            str(d).strip().lower()[:3] for d in (value if isinstance(value, list | tuple) else str(value).split(","))
        ]
        if not days or any(d not in WEEKDAYS for d in days):
            raise ConfigError(f"{name} is {value!r} ({source}); give weekdays such as mon,wed,fri")
        return ",".join(d for d in WEEKDAYS if d in days)
    if setting.kind == "subset":
        parts = [str(part).strip() for part in (value if isinstance(value, list | tuple) else str(value).split(","))]
        parts = [] if parts in (["none"], [""]) else parts
        for part in parts:
            if part not in setting.choices:
                raise ConfigError(
                    f"{name} is {value!r} ({source}); give none, or some of: {', '.join(setting.choices)}"
                    + suggestion(part, setting.choices)
                )
        return ",".join(c for c in setting.choices if c in parts) or "none"
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is {value!r} ({source}); give a name")
    return value


def checked(path: str, value: Any, source: str) -> Any:
    """The value in its canonical form, or a ConfigError that says what to give."""
    setting = BY_PATH.get(path) or LIVE_BY_PATH.get(path)
    if setting is None:
        raise ConfigError(f"unknown setting '{path}' in {source}{suggestion(path, BY_PATH)}")
    if setting.kind in ("int", "float"):
        return _number(setting, value, source)
    if setting.kind == "choice":
        value = (
            str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        )  # YAML reads 5 as a number
        if value not in setting.choices:
            raise ConfigError(
                f"{path} is {value!r} ({source}); give one of: {', '.join(setting.choices)}"
                + suggestion(str(value), setting.choices)
            )
        return value
    return _text(setting, value, source)


# Pairs that must not contradict each other: low path, high path.
ORDERED = (
    ("strategy.entry.dte_min", "strategy.entry.dte_target"),
    ("strategy.entry.dte_target", "strategy.entry.dte_max"),
    ("strategy.entry.delta_low", "strategy.entry.short_delta"),
    ("strategy.entry.short_delta", "strategy.entry.delta_high"),
    ("strategy.entry.window_start", "strategy.entry.window_end"),
    ("market.start", "market.end"),
    ("strategy.filters.consensus_min", "strategy.filters.consensus_max"),
    ("strategy.filters.iv_rank_min", "strategy.filters.iv_rank_max"),
    ("strategy.filters.vix_min", "strategy.filters.vix_max"),
    ("strategy.filters.rsi_min", "strategy.filters.rsi_max"),
    ("strategy.filters.stoch_min", "strategy.filters.stoch_max"),
    ("strategy.signals.trend_fast", "strategy.signals.trend_slow"),
    ("strategy.signals.hmm_leave", "strategy.signals.hmm_enter"),
    ("strategy.signals.regime_high_vix", "strategy.signals.regime_crash_vix"),
    ("strategy.size.vol_low", "strategy.size.vol_high"),
)


def members(values: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The parts of a subset setting."""
    return () if values[path] == "none" else tuple(values[path].split(","))


def check_together(values: Mapping[str, Any]) -> None:
    for low, high in ORDERED:
        a, b = values[low], values[high]
        if a is not None and b is not None and a > b and not _butterfly_exempt(values, low):
            raise ConfigError(f"{low} is {a} and {high} is {b}; {low} must not exceed {high}")
    if values["strategy.signals.trend_fast"] == values["strategy.signals.trend_slow"]:
        raise ConfigError(
            f"strategy.signals.trend_fast and trend_slow are both {values['strategy.signals.trend_slow']}; a trend is "
            "their difference: give a smaller trend_fast"
        )
    if values["strategy.exits.scope"] == "side" and values["strategy.exits.stop_on"] == "mid":
        raise ConfigError(
            "strategy.exits.stop_on is mid, but strategy.exits.scope is side; a side's stop watches its natural price: "
            "give natural"
        )
    multiple, reach = values["strategy.exits.stop_multiple"], values["strategy.exits.stop_scale_range"]
    if values["strategy.exits.stop_scale"] != "none" and 0.0 < multiple <= reach:
        raise ConfigError(
            f"strategy.exits.stop_scale_range is {reach:g} and stop_multiple {multiple:g}; in a calm market the stop "
            "would be at or below the credit: give a range below the multiple"
        )
    leave, nearest = values["strategy.exits.exit_dte"], values["strategy.entry.dte_min"]
    if leave > 0 and leave >= nearest:
        raise ConfigError(
            f"strategy.exits.exit_dte is {leave} and strategy.entry.dte_min {nearest}; a structure could close as it "
            f"opens: give an exit_dte below dte_min, or 0 for none"
        )

    if values["strategy.manage.roll_out"] == "exit_dte" and leave == 0:
        raise ConfigError(
            "strategy.manage.roll_out is exit_dte, but strategy.exits.exit_dte is 0: nothing ever leaves by its days "
            "to expiry; give an exit_dte, or roll_out never"
        )


def _butterfly_exempt(values: Mapping[str, Any], path: str) -> bool:
    """A butterfly sells at the money: the delta band does not apply to it."""
    return values["strategy.structure"] == "iron_butterfly" and "delta" in path


def flatten(tree: Mapping[str, Any], source: str, prefix: str = "") -> dict[str, Any]:
    """{'costs': {'fill': 'mid'}} -> {'costs.fill': 'mid'}; keys may also be dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, source, path + "."))
        else:
            flat[path] = value
    return flat


def read_python(path: Path) -> dict[str, Any]:
    """The literal dict assigned to CONFIG in a Python file; nothing is executed."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:  # a null byte is a ValueError before Python 3.11.4
        raise ConfigError(
            f"{path.name}: cannot be read ({error}); it holds `CONFIG = {{...}}` with literal values"
        ) from None
    for node in module.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "CONFIG" for t in node.targets):
            try:
                tree = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                raise ConfigError(f"{path.name} line {node.lineno}: CONFIG must hold literal values only") from None
            if isinstance(tree, dict):
                return tree
    raise ConfigError(f"{path.name}: no `CONFIG = {{...}}` found; copy config.template.py and edit it")


def read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, and dates stay text: our own check names the one that does not exist."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """A key that stands twice is a mistake: the last one would win in silence."""
            merged = "tag:yaml.org,2002:merge"
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merged]
            for key in keys:
                if isinstance(key, str) and keys.count(key) > 1:
                    raise ValueError(f"line {node.start_mark.line + 1} on: {key} stands there twice")
            return super().construct_mapping(node, deep)

    keep = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.yaml_implicit_resolvers = keep
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; check the path") from None
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds {type(tree).__name__}; give a mapping such as strategy: {{exits: ...}}")
    return tree


def preset_names() -> list[str]:
    return sorted(p.stem for p in (PRESETS / "strategy").glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    names = preset_names()
    if name not in names:
        raise ConfigError(unknown("preset", name, names))
    return read_settings(PRESETS / "strategy" / f"{name}.yaml")


def read_settings(path: Path) -> dict[str, Any]:
    """Settings of a YAML file; what it says of itself under `about` is none."""
    return {key: value for key, value in read_yaml(path).items() if key != "about"}


def read_fuzzy(name: str) -> dict[str, Any]:
    """The named fuzzy rules as they stand in their file (see fuzzy_engine.rule_base)."""
    return read_yaml(PRESETS / "fuzzy" / f"{name}.yaml")


def read_fees(name: str) -> dict[str, float]:
    """The named fee table: commission, both, sell in $ per contract."""
    table = read_yaml(PRESETS / "fees.yaml")[name]
    return {key: float(table[key]) for key in ("commission", "both", "sell")}


def assignments(items: Iterable[str]) -> dict[str, Any]:
    """['a.b=1'] -> {'a.b': '1'}; values stay text, the table gives them their type."""
    result: dict[str, Any] = {}
    for item in items:
        path, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item!r}; write --set path=value, such as --set strategy.exits.profit_frac=0.5")
        result[path.strip()] = value.strip()
    return result


def load(
    preset: str | None = None,
    file: str | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    user_file: Path | None = None,
) -> Config:
    """Effective settings from all layers; `flags` are command-line options that name a setting."""
    values = {s.path: s.default for s in SETTINGS}
    sources = dict.fromkeys(values, "default")
    user = ROOT / "config.py" if user_file is None else user_file
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if user.exists():
        layers.append((user.name, read_python(user)))
    if preset is not None:
        layers.append((f"preset {preset}", read_preset(preset)))
    if file is not None:
        layers.append((f"--config {file}", read_settings(Path(file))))
    layers.append(("--set", assignments(sets)))
    layers.append(("command line", {k: v for k, v in (flags or {}).items() if v is not None}))
    live = {s.path: s.default for s in LIVE}
    for source, tree in layers:
        for path, value in flatten(tree, source).items():
            if path in LIVE_BY_PATH:
                live[path] = checked(path, value, source)
                continue
            values[path] = checked(path, value, source)
            sources[path] = source
    check_together(values)
    return Config(values, sources, live)


def template() -> str:
    """The text of config.template.py: every setting with its default, unit, range and meaning."""
    lines = [
        '"""Every setting with its default. Copy to config.py and keep the lines that you change.',
        "",
        "Read as data (literal values only), never executed. Command line and YAML files override it.",
        '"""',
        "",
        "CONFIG = {",
    ]
    open_parts: list[str] = []
    for setting in (*SETTINGS, *LIVE):
        *parts, name = setting.path.split(".")
        while open_parts != parts[: len(open_parts)]:
            open_parts.pop()
            lines.append("    " * (len(open_parts) + 1) + "},")
        for part in parts[len(open_parts) :]:
            lines.append("    " * (len(open_parts) + 1) + f'"{part}": {{')
            open_parts.append(part)
        indent = "    " * (len(open_parts) + 1)
        span = f"{setting.low:g} to {setting.high:g} {setting.unit}" if setting.low is not None else setting.unit
        span = " | ".join(setting.choices) if setting.choices else span
        lines.append(f"{indent}# {setting.text}{f' [{span}]' if span else ''}")
        value = f'"{setting.default}"' if isinstance(setting.default, str) else repr(setting.default)
        lines.append(f'{indent}"{name}": {value},')
    while open_parts:
        open_parts.pop()
        lines.append("    " * (len(open_parts) + 1) + "},")
    return "\n".join([*lines, "}", ""])
