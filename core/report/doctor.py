"""Whether this machine and checkout are in order: each part with what it is, and what to do where it is not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

from core.config import ROOT
from core.errors import DataError

LEAST_PYTHON, BEYOND_PYTHON = (3, 11), (3, 14)
LEAST_GB_FREE = 2.0
PARTS = ("numpy", "scipy", "pandas", "numba", "pyarrow", "exchange_calendars", "arch", "plotly", "jinja2", "matplotlib")
# Optional parts: what they are for, the package that tells, the file that brings them.
OPTIONAL = (
    ("live trading and rehearsals", "alpaca-py", "requirements-live.txt"),
    ("the live view, progress", "rich", "requirements-live.txt"),
    ("optimize --method tpe, cmaes", "optuna", "requirements-optuna.txt"),
    ("optimize --engine ray", "ray", "requirements-ray.txt"),
    ("backtest --driver backtrader", "backtrader", "requirements-backtrader.txt"),
)


def check(name: str, state: str, found: str, remedy: str = "") -> dict[str, str]:
    """state : ok, missing (an optional part), or wrong."""
    return {"check": name, "state": state, "found": found, "remedy": remedy}


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def checks() -> list[dict[str, str]]:
    """Everything, in the order in which it is needed."""
    return [*machine(), *packages(), *kernels(), *stores(), *optional()]


def machine() -> list[dict[str, str]]:
    python = platform.python_version()
    good = LEAST_PYTHON <= sys.version_info[:2] < BEYOND_PYTHON
    remedy = "" if good else "install Python 3.11, 3.12 or 3.13"
    found = [check("python", "ok" if good else "wrong", f"{python}, {platform.system()} {platform.machine()}", remedy)]
    cores = os.cpu_count() or 1
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GB of memory"
    found.append(check("cores", "ok", f"{cores}{memory}"))
    free = shutil.disk_usage(ROOT).free / 1e9
    short = "" if free >= LEAST_GB_FREE else "free some space: stores, kernels and reports need it"
    found.append(check("disk", "wrong" if short else "ok", f"{free:.1f} GB free", short))
    from core.report.folder import reports_folder

    folder = reports_folder()
    writable = os.access(folder if folder.exists() else folder.parent, os.W_OK)
    remedy = "" if writable else "make it writable, or set QMTF_REPORTS_DIR"
    return [*found, check("reports", "ok" if writable else "wrong", str(folder), remedy)]


def packages() -> list[dict[str, str]]:
    found = []
    for name in PARTS:
        have = version(name)
        remedy = "" if have else "python -m pip install -r requirements.txt"
        found.append(check(name, "ok" if have else "wrong", have or "absent", remedy))
    return found


def kernels() -> list[dict[str, str]]:
    """The folder of compiled kernels of this version of the code."""
    from core.jit import NO_JIT, cache_root, code_hash, is_cold

    if NO_JIT:
        return [check("kernels", "wrong", "QMTF_NO_JIT=1: everything runs as plain Python", "unset QMTF_NO_JIT")]
    folder = cache_root() / "numba" / code_hash()
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6 if folder.exists() else 0.0
    large = (("backtest", "backtest_engine.run_rows"), ("optimize", "sweep.sweep"))
    cold = [name for name, kernel in large if is_cold(kernel)]
    text = f"{size:.0f} MB in {folder}"
    if cold:
        text += f"; to be compiled at the first {' and '.join(cold)} (a minute or two each)"
    return [check("kernels", "ok", text)]


def stores() -> list[dict[str, str]]:
    """Every market on disk: whether its columns are what its manifest says, and the quality of its input."""
    from core.market import catalog
    from core.market.store import open_store

    found = []
    for name in catalog.names():
        try:
            store = open_store(catalog.store_folder() / name)
            quality = (store.path / "quality.json").is_file()
        except DataError as error:
            found.append(check(f"market {name}", "wrong", str(error), "import it again, or delete its folder"))
            continue
        facts = store.manifest
        text = f"{facts['first']} to {facts['last']}, {facts['rows']:,} rows, {facts['quotes']}"
        remedy = "" if quality else "quality.json is missing: import it again"
        found.append(check(f"market {name}", "ok" if quality else "wrong", text, remedy))
    return found or [check("markets", "ok", "none yet; the embedded one is built by the first backtest")]


def optional() -> list[dict[str, str]]:
    found = []
    for purpose, package, file in OPTIONAL:
        have = version(package)
        remedy = "" if have else f"{Path(sys.executable).name} -m pip install -r {file}"
        state, text = ("ok", f"{package} {have}") if have else ("missing", f"{package} is absent")
        found.append(check(purpose, state, text, remedy))
    return found


def doctor_lines(found: list[dict[str, str]]) -> list[str]:
    lines = []
    for c in found:
        lines.append(f"{c['state']:8} {c['check']:30} {c['found']}")
        if c["remedy"]:
            lines.append(f"{'':8} {'':30} -> {c['remedy']}")
    wrong = sum(c["state"] == "wrong" for c in found)
    return [*lines, f"{wrong} wrong" if wrong else "all in order"]
