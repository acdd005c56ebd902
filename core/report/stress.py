"""What a stress shows and writes: the summary, stress.json with its pictures, the section of report.html."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import DataError
from core.report.model import whole_usd
from core.report.stress_plots import PICTURES, grid_figure, move_text, page_title, shock_figure
from core.report.terminal import WIDTH

if TYPE_CHECKING:
    from backtest_engine import BacktestResult

PAGES_SHOWN = (0.0, 5.0)  # days of the two slices of the grid on the page


def or_na(value: float | None) -> str:
    return "n/a" if value is None else whole_usd(value)


def strikes_text(strikes: list[float | None]) -> str:
    return "/".join(f"{strike:g}" for strike in strikes if strike is not None)


def chance_text(chance: dict[str, Any]) -> str:
    """A probability with its error, or how large it can be where no path shows it."""
    if chance["hits"] == 0:
        return f"0 of {chance['of']:,} (with 95 % confidence below {100 * chance['at_most']:.1f} %)"
    return f"{100 * chance['probability']:.1f} % (standard error {100 * chance['standard_error']:.1f})"


# ---------------------------------------------------------------- the terminal


def book_lines(value: dict[str, Any]) -> list[str]:
    book = value["book"]
    head = f"book of {book['time'][:10]} {book['time'][11:16]} New York: {book['chosen']}"
    vix = "unknown" if book["vix"] is None else f"{book['vix']:.2f}"
    parts = [
        f"spot {book['spot']:.2f}",
        f"VIX {vix}",
        f"{len(book['structures'])} structures, {book['legs']} contracts",
        f"most they can lose {whole_usd(book['open_risk_usd'])}",
        f"model value {or_na(book['model_value_usd'])}, mark {whole_usd(book['mark_usd'])}",
    ]
    lines = textwrap.wrap(head, WIDTH) + textwrap.wrap("  " + ", ".join(parts), WIDTH, subsequent_indent="  ")
    for s in book["structures"]:
        legs = f"{s['expiry']} ({s['days']} days) {strikes_text(s['strikes'])}"
        lines.append(f"  {s['trade']:>4}  {legs:44} x{s['contracts']:<3} credit {s['credit']:.2f}")
    if book["hedge_shares"]:
        lines.append(f"  hedge {book['hedge_shares']:+d} shares")
    if book["legs_without_volatility"]:
        lines.append(f"! {book['legs_without_volatility']} of {book['legs']} legs have no known volatility: n/a below")
    return lines


def shock_lines(value: dict[str, Any]) -> list[str]:
    head = f"{'moves of the past':40}{'spot':>8}{'vol':>8}{'strikes':>9}{'days':>6}{'P&L':>12}{'of equity':>11}"
    lines = ["", head]
    for s in value["shocks"]:
        share = "n/a" if s["share_of_equity"] is None else f"{100 * s['share_of_equity']:+.2f} %"
        factors = f"{factor_text(s['vol_factor']):>8}{factor_text(s['strike_factor_mean']):>9}"
        numbers = f"{100 * s['spot_move']:>+7.1f}%{factors}{s['days']:>6g}"
        worst = "  worst" if s["key"] == value["worst_shock"] else ""
        lines.append(f"{s['name']:40}{numbers}{or_na(s['pnl_usd']):>12}{share:>11}{worst}")
    return [*lines, "vol: VIX, of the money before and after; strikes: each option's own volatility, mean of the book"]


def factor_text(factor: float | None) -> str:
    return "n/a" if factor is None else f"x{factor:.2f}"


def grid_lines(value: dict[str, Any]) -> list[str]:
    """Two slices of the grid at every second spot move, and the worst cell of all."""
    grid = value["grid"]
    columns = range(0, len(grid["spot_moves"]), 2)
    lines = []
    for days, page in zip(grid["days"], grid["pnl_usd"], strict=True):
        if days not in PAGES_SHOWN and days != "expiry":
            continue
        head = "".join(f"{move_text(grid['spot_moves'][i]) + '%':>11}" for i in columns)
        lines += ["", f"P&L {page_title(days)}, $: spot across, every volatility times", f"{'':8}{head}"]
        rows = zip(grid["vol_factors"], page, strict=True)
        for factor, line in [("any", page[0])] if days == "expiry" else rows:
            name = factor if factor == "any" else f"x{factor:g}"
            lines.append(f"{name:8}" + "".join(f"{or_na(line[i]):>11}" for i in columns))
    worst = grid["worst"]
    if worst is not None:
        lines.append(f"worst of {grid['cells']} cells: {worst_text(worst)}")
    if grid["unknown_cells"]:
        lines.append(f"! {grid['unknown_cells']} cells are unknown: a leg has no volatility")
    return lines


def worst_text(worst: dict[str, Any]) -> str:
    """The worst cell of the grid by its place; at expiry volatility has none."""
    vol = "" if worst["vol_factor"] is None else f", vol x{worst['vol_factor']:g}"
    return f"{whole_usd(worst['pnl_usd'])} at spot {move_text(worst['spot_move'])} %{vol}, {page_title(worst['days'])}"


def rerun_lines(value: dict[str, Any]) -> list[str]:
    lines = ["", f"{'the strategy run again':26}{'net profit':>13}{'drawdown':>12}{'worst day':>12}{'trades':>8}"]
    for row in value["reruns"]:
        name = row["key"].replace("_", " ")
        if row["refused"]:
            lines += textwrap.wrap(f"{name}: not run, {row['refused']}", WIDTH, subsequent_indent="  ")
            continue
        fall = or_na(row["max_drawdown"])
        numbers = f"{whole_usd(row['net_profit']):>13}{fall:>12}{whole_usd(row['worst_day']):>12}{row['trades']:>8}"
        lines.append(f"{name:26}{numbers}")
        lines += [f"  {line}" for line in textwrap.wrap(row["words"], WIDTH - 2)]
    return lines


def chance_lines(value: dict[str, Any]) -> list[str]:
    drawn, made = value["bootstrap"], value["generated"]
    lines = [
        "",
        f"{drawn['paths']:,} paths of {drawn['days']} sessions from the run's {drawn['sessions_drawn_from']:,} days "
        f"(blocks of {drawn['mean_block_sessions']} on average), seed {drawn['seed']}",
        *outcome_lines(drawn),
    ]
    if drawn["sessions_drawn_from"] < drawn["days"]:
        lines.append("! a path is longer than the run: it repeats what little happened, and what did not is missing")
    if "refused" in made:
        return lines + textwrap.wrap(f"generated markets: not run, {made['refused']}", WIDTH, subsequent_indent="  ")
    return [
        *lines,
        f"{made['markets']} generated markets of {made['days']} sessions, {made['trades']} trades. MODELLED: "
        "Heston with jumps, no edge to be read from it",
        *outcome_lines(made),
    ]


def outcome_lines(part: dict[str, Any]) -> list[str]:
    net, fall = part["net_profit"], part["max_drawdown"]["quantiles"]
    error = "" if net["standard_error"] is None else f" (standard error {net['standard_error']:,.0f})"
    falls = ", ".join(f"{name} % {whole_usd(number)}" for name, number in fall.items())
    ends = ", ".join(f"{name} % {whole_usd(net['quantiles'][name])}" for name in ("5", "50", "95"))
    return [
        f"  net profit: mean {whole_usd(net['mean'])}{error}; quantiles {ends}",
        f"  deepest drawdown, quantiles: {falls}",
        f"  a loss: {chance_text(part['loss'])}",
        f"  ruin (equity at or below {100 * part['ruin']['below_share_of_start']:g} % of the start): "
        f"{chance_text(part['ruin'])}",
    ]


def stress_lines(value: dict[str, Any], folder: Path) -> list[str]:
    """The whole stress for people."""
    head = f"stress of {value['structure']} on {value['market']}"
    lines = [head, "-" * len(head)]
    if value["quotes"] != "real":
        lines.append(f"! {value['quotes']}: every figure below is a model's.")
    lines += book_lines(value) + shock_lines(value) + grid_lines(value) + rerun_lines(value) + chance_lines(value)
    return [*lines, f"run folder: {folder}"]


# ---------------------------------------------------------------- files


def write_stress(folder: Path, value: dict[str, Any], manifest: dict[str, Any], pictures: bool) -> None:
    """stress.json, manifest.json and, if asked for, stress-<name>.png."""
    for name, content in (("stress.json", value), ("manifest.json", manifest)):
        (folder / name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for name, write in PICTURES.items() if pictures else ():
        write(folder / f"stress-{name}.png", value)


# ---------------------------------------------------------------- the page


def small_stress(result: BacktestResult) -> dict[str, Any]:
    """What every report says of its riskiest book; {'unknown': words} where nothing can be said."""
    from core.stress.book import RISKIEST, book_stress, riskiest
    from core.stress.events import read_events

    try:
        return book_stress(result, riskiest(result), read_events(), RISKIEST)
    except DataError as error:
        return {"unknown": str(error)}


def stress_figures(value: dict[str, Any]) -> dict[str, Any]:
    """Plotly figures of the section by id."""
    if "unknown" in value:
        return {}
    shown = [value["grid"]["days"].index(days) for days in PAGES_SHOWN]
    grids = {f"stress_grid_{i}": grid_figure(value["grid"], page) for i, page in enumerate(shown)}
    return {"stress_shocks": shock_figure(value["shocks"]), **grids}


def stress_values(value: dict[str, Any]) -> dict[str, Any]:
    """What the section says beside its figures."""
    if "unknown" in value:
        return {"stress": {"unknown": value["unknown"]}}
    grid, book = value["grid"], value["book"]
    worst = grid["worst"]
    words = {
        "when": f"{book['time'][:10]} {book['time'][11:16]}",
        "chosen": book["chosen"],
        "structures": len(book["structures"]),
        "risk": whole_usd(book["open_risk_usd"]),
        "value": or_na(book["model_value_usd"]),
        "unknown_legs": book["legs_without_volatility"],
        "legs": book["legs"],
        "worst": "unknown" if worst is None else worst_text(worst),
        "expiry": expiry_rows(grid),
        "shocks": [shock_row(s) for s in value["shocks"]],
        "pages": [page_title(days) for days in PAGES_SHOWN],
        "reruns": [rerun_row(row) for row in value.get("reruns", [])],
        "chances": [chance_row(value[kind]) for kind in ("bootstrap", "generated") if kind in value],
    }
    return {"stress": words}


def expiry_rows(grid: dict[str, Any]) -> list[tuple[str, str]]:
    """(spot move, P&L when every leg has expired)."""
    line = grid["pnl_usd"][grid["days"].index("expiry")][0]
    return [(f"{move_text(move)}%", or_na(cell)) for move, cell in zip(grid["spot_moves"], line, strict=True)]


def shock_row(s: dict[str, Any]) -> list[str]:
    share = "n/a" if s["share_of_equity"] is None else f"{100 * s['share_of_equity']:+.2f}%"
    move = f"{100 * s['spot_move']:+.1f}%"
    vol = f"{s['vol_from']:g} to {s['vol_to']:g} (x{s['vol_factor']:.2f})"
    strikes, term = factor_text(s["strike_factor_mean"]), f"{s['term']:.2f}"
    return [s["name"], move, vol, strikes, term, f"{s['skew']:g}", f"{s['days']:g}", or_na(s["pnl_usd"]), share]


def rerun_row(row: dict[str, Any]) -> list[str]:
    if row["refused"]:
        return [row["key"].replace("_", " "), f"not run: {row['refused']}", "", "", "", ""]
    numbers = [
        whole_usd(row["net_profit"]),
        or_na(row["max_drawdown"]),
        whole_usd(row["worst_day"]),
        f"{row['trades']}",
    ]
    return [row["key"].replace("_", " "), row["words"], *numbers]


def chance_row(part: dict[str, Any]) -> list[str]:
    if "refused" in part:
        return ["generated markets", *[""] * 7, f"not run: {part['refused']}"]
    net, fall = part["net_profit"]["quantiles"], part["max_drawdown"]["quantiles"]
    count = part.get("paths", part.get("markets"))
    ends = [whole_usd(net[name]) for name in ("5", "50", "95")]
    falls = [whole_usd(fall[name]) for name in ("50", "90", "95", "99")]
    return [f"{part['kind']} ({count:,})", *ends, *falls, chance_text(part["ruin"])]
