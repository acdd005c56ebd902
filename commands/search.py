"""`python main.py optimize`: options, the search, its files."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

from commands.common import REPORTS, common, compile_sweep_if_cold, effective, market_options, show, teller
from core.errors import ConfigError, DataError, QuantorError


def add_optimize_parser(commands: Any) -> None:
    optimize = commands.add_parser(
        "optimize",
        help="search the settings, and tell how much of the best is luck",
        description="Try settings on a market, each trial a backtest to the cent; recommend the best plateau; deflate "
        "its Sharpe ratio by everything ever tried on this market. Without a grid: the classic six phases, 829 trials.",
        epilog="example: python main.py optimize --grid exits --set strategy.max_positions=1 --coarse 100",
    )
    market_options(optimize)
    optimize.add_argument("--grid", metavar="G", default="classic", help="name in data/grids, or a YAML file (classic)")
    optimize.add_argument("--method", metavar="M", help="grid (default), random, sobol, tpe, cmaes")
    optimize.add_argument(
        "--trials", metavar="N", type=int, help="of a phase, for all methods but grid (1000; tpe, cmaes 300)"
    )
    optimize.add_argument(
        "--objective", metavar="NAME", help="net_profit_over_max_drawdown (default), any metric, pareto"
    )
    optimize.add_argument("--min-trades", metavar="N", type=int, help="fewer closed trades do not count (30)")
    optimize.add_argument(
        "--limit", metavar="TEXT", action="append", default=[], help="'max_drawdown_pct <= 20', beside the grid's"
    )
    optimize.add_argument("--coarse", metavar="N", type=int, help="exits: run in full the best N by closed trades")
    optimize.add_argument("--draw-seed", metavar="N", type=int, help="of random, sobol, tpe, cmaes (the market's)")
    optimize.add_argument("--walk-forward", metavar="KIND", help="anchored or rolling: search every training anew")
    optimize.add_argument("--windows", metavar="N", type=int, help="of a walk-forward (5)")
    optimize.add_argument("--embargo", metavar="DAYS", type=int, help="between training and test (5)")
    optimize.add_argument("--cross-validate", metavar="N", type=int, help="combinatorial, N groups, 2 of them tested")
    optimize.add_argument("--jobs", metavar="N", type=int, help="worker processes (default: all cores)")
    optimize.add_argument("--engine", choices=("local", "ray"), default="local", help="local (default) or ray")
    optimize.add_argument("--address", metavar="HOST:PORT", help="ray: a cluster that runs (default: one of its own)")
    optimize.add_argument("--resume", action="store_true", help="take finished trials of earlier searches")
    optimize.add_argument("--apply", metavar="FILE", help="also write the recommended settings as a preset")
    optimize.add_argument("--report", default="html", metavar="KIND", help="html (default) or none")
    optimize.add_argument("--out", metavar="DIR", help="run folder (default reports/<run id>)")
    common(optimize)


def run_optimize(args: argparse.Namespace) -> None:
    started = dt.datetime.now(dt.UTC)
    if args.report not in REPORTS:
        raise ConfigError(f"--report is {args.report!r}; give one of: {', '.join(REPORTS)}")
    from core.search.grid import read_grid
    from core.search.outputs import target_of
    from core.search.request import Request, out_of_sample_of

    if args.apply is not None:
        target_of(args.apply)
    wanted = out_of_sample_of(args.walk_forward, args.windows, args.embargo, args.cross_validate)
    grid = read_grid(args.grid)
    args.preset = args.preset or grid.preset
    config = effective(args)
    say = teller(args)
    for path in grid.phases[0].levels:
        if config.sources[path] == "--set":
            say(f"{path} is varied by the grid: what --set gives has no effect")
    from core.market.catalog import open_market

    compiling = compile_sweep_if_cold(say)
    store = open_market(config["market.name"], config["market.seed"], say)
    if compiling is not None:
        compiling.wait()
    import optimizer
    from core.report import folder as run_files
    from core.search.evaluate import cash_returns_of
    from core.search.findings import findings_of
    from core.search.outputs import manifest_value
    from core.search.patience import PATIENCE

    request = Request(
        args.method, args.trials, args.objective, args.min_trades, tuple(args.limit), args.jobs, args.engine,
        args.address, args.resume, args.coarse, args.draw_seed,
    )  # fmt: skip
    optimizer.check_out_of_sample(store, config, grid, wanted, bool(args.coarse))
    folder_of = run_files.fresh_folder(args.out, "optimize", config.hash(), started)
    with folder_of as (folder, run_id), PATIENCE.in_force() as patience:
        found, logged, walked, stopped = searched(args, store, config, grid, request, wanted)
        if wanted.kind is not None:
            logged = optimizer.logged(store)
        findings = findings_of(found, logged, cash_returns_of(store, config))
        manifest = manifest_value(findings, store, run_id, started, {"engine": args.engine, **wanted.value()})
        show_search(args, store, findings, folder, manifest, walked, wanted, stopped)
        interrupted = patience.asked > 0
    if not found.ended or stopped is not None or interrupted:
        raise found.failure or stopped or KeyboardInterrupt


def searched(
    args: argparse.Namespace, store: Any, config: Any, grid: Any, request: Any, wanted: Any
) -> tuple[Any, int, Any, BaseException | None]:
    """(what was found, settings tried by then, walk-forward or None, what ended the walk-forward early)."""
    import optimizer
    from core.search.progress import ProgressLine

    line = ProgressLine()
    watch = (lambda _: None) if args.quiet else line
    try:
        found, logged = optimizer.search(store, config, grid, request, watch)
        if not found.phases:
            raise found.failure or KeyboardInterrupt
        if wanted.kind is None or not found.ended:
            return found, logged, None, None
        try:
            return found, logged, optimizer.walk(store, config, grid, request, wanted, watch), None
        except (KeyboardInterrupt, QuantorError) as reason:
            return found, logged, None, reason  # the search itself is whole, and will be shown
    finally:
        line.close()


def show_search(
    args: argparse.Namespace, store: Any, findings: Any, folder: Path, manifest: Any, walked: Any, wanted: Any,
    stopped: BaseException | None,
) -> None:  # fmt: skip
    """Write the files of what was found, and show it. stopped : what ended a walk-forward early."""
    from core.search import outputs
    from core.search.findings import validated_of
    from core.search.terminal import summary_lines

    validated = None
    if wanted.groups is not None:
        validated = validated_of(findings, store, wanted.groups, wanted.embargo_days)
    why = None if stopped is None else str(stopped) or "interrupted"
    summary = outputs.summary_value(findings, walked, validated, why)
    top = outputs.top_of(findings)
    lines = summary_lines(findings, top, summary, folder, store.manifest.get("quotes", "real"))
    told: dict[str, Any] = {"run_id": manifest["run_id"], "folder": str(folder), **summary}

    def page() -> None:
        from core.report.optimize import write_optimize

        write_optimize(folder, findings, top, summary, store, walked, validated)

    def preset() -> None:
        told["applied"] = None
        told["applied"], text = apply(args.apply, findings)
        lines.append(text)

    writers = outputs.search_files(folder, findings, top, manifest, summary)
    writers += [page] * (args.report == "html") + [preset] * (args.apply is not None)
    troubles: list[QuantorError] = []
    for write in writers:
        try:
            write()
        except OSError as error:
            troubles.append(DataError(f"{folder}: not all files could be written ({error.strerror or error})"))
        except QuantorError as error:
            troubles.append(error)
    if not any(folder.iterdir()):
        told["folder"] = None
    show(args, told, lines)
    if troubles:
        raise troubles[0]


def apply(target: str, findings: Any) -> tuple[str | None, str]:
    """(the preset that was written, or None; a line about it)."""
    from core.search import outputs
    from core.search.words import why_none

    if not findings.found.ended:
        return None, "preset not written: the search ended early"
    if findings.recommended < 0:
        return None, f"preset not written: {why_none(findings)}"
    path = outputs.apply_to(target, outputs.preset_text(findings, outputs.about_of(findings)))
    return str(path), f"preset written: {path}"
