"""The layers of the code, and what a module may import: the table, read by the tests and by the diagrams.

Imports point down only; modules of one layer may import each other. Layers 0 to 3 are pure: no I/O, no clock,
no randomness, no logging, no pandas. `python scripts/architecture.py` prints every breach; with `--pure` it
prints the files of the pure layers.
"""

import ast
import os
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Layer -> what it is, and its modules. `x.*` is the package x and all below it; a module fits one entry.
LAYERS: dict[int, tuple[str, tuple[str, ...]]] = {
    6: ("front doors", ("main", "commands.*", "benchmark_cpu", "scripts.*")),
    5: ("around the backtest", ("core.backtrader_bridge", "core.live.*", "optimizer")),
    4: (
        "drivers, files, reports",
        (
            "backtest_engine",
            "core.report.*",
            "core.market.build",
            "core.market.slices",
            "core.market.importers",
            "core.market.catalog",
            "core.market.daily_model",
            "core.market.generate",
            "core.market.history",
            "core.market.import_*",
            "core.market.modelled",
            "core.market.paths",
            "core.market.quality",
            "core.market.snapshot",
            "core.market.truncate",
            "core.market.vols",
            "core.market.writer",
            "core.answered",
            "core.explain",
            "core.lookahead",
            "core.coarse",
            "core.replay",
            "core.search.*",
            "core.sweep",
            "core.smiles",
            "core.stress.*",
            "core.valuation",
        ),
    ),
    3: (
        "book, positions, where profit came from",
        (
            *("core.assignment", "core.attribution", "core.exposure", "core.hedge", "core.margin", "core.portfolio"),
            *("core.positions", "core.resampling", "core.risk_manager", "core.scenario", "core.scripted"),
            *("core.marks", "core.shared", "core.shocks", "core.smile_hedge", "core.trials"),
        ),
    ),
    # Costs stand beside the decisions: an exit asks what closing would cost.
    2: (
        "decisions, quotes, costs",
        ("fuzzy_engine", "options_strategy", "strategies.*", "core.costs", "core.implied", "core.quotes"),
    ),
    1: (
        "numbers from columns",
        (
            "core.features.*",
            "core.pricing.*",
            "core.metrics",
            "core.overfit",
            "core.payoff",
            "core.market.calendar",
            "core.market.store",
        ),
    ),
    0: (
        "settings, records, errors, compiler",
        (
            "core",
            "core.market",
            "core.compiling",
            "core.config",
            "core.errors",
            "core.jit",
            "core.settings",
            "core.types",
        ),
    ),
}
PURE = range(4)
FORBIDDEN_WHEN_PURE = (
    *("alpaca", "argparse", "backtrader", "logging", "matplotlib", "pandas"),
    *("plotly", "random", "requests", "time", "typer"),
)
CLOCK_CALLS = ("now", "utcnow", "today")
FILE_CALLS = (
    *("open", "read_bytes", "read_text", "write_bytes", "write_text"),
    *("load", "memmap", "open_memmap", "fromfile", "loadtxt", "genfromtxt"),
    *("save", "savez", "savez_compressed", "savetxt", "tofile"),
)
# Naming the type of a generator that the caller brings (np.random.Generator) draws nothing.
DRAWS = tuple(
    f"{numpy}.random.{name}"
    for numpy in ("np", "numpy")
    for name in (
        "default_rng",
        "PCG64",
        "RandomState",
        "seed",
        "normal",
        "standard_normal",
        "random",
        "uniform",
        "rand",
    )
)
MAY_OPEN_FILES = ("core.config", "core.jit", "core.market.store")
MAY_IMPORT_NUMBA = ("core.jit",)
# Read as data (`ast.literal_eval`), never imported; the second is the user's own, outside the repository.
SETTINGS_FILES = ("config.template.py", "config.py")


@dataclass(frozen=True)
class Use:
    """One import, or one call that a pure layer may not make, with its line."""

    what: str
    line: int


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file of every module under `root`, tests and settings aside, in order of name."""
    found = {}
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = [n for n in names if n[0] != "." and n != "__pycache__" and not (here / n / "pyvenv.cfg").exists()]
        if here == root:
            names[:] = [n for n in names if n != "tests"]
            files = [f for f in files if f not in SETTINGS_FILES]
        for file in files:
            if file.endswith(".py"):
                parts = (here / file).relative_to(root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = here / file
    return dict(sorted(found.items()))


def place_of(module: str) -> str | None:
    """The entry of the table that covers a module; None when the table does not know it or knows it twice."""
    patterns = [pattern for _, several in LAYERS.values() for pattern in several]
    fits = [p for p in patterns if fnmatchcase(module, p) or p == f"{module}.*"]
    return fits[0] if len(fits) == 1 else None


def layer_of(module: str) -> int | None:
    """The layer a module stands in; None when the table does not know it or knows it twice."""
    place = place_of(module)
    return next((layer for layer, (_, patterns) in LAYERS.items() if place in patterns), None)


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The dotted name a `from` import starts at, with its leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join(package[: len(package) - node.level + 1] + ([node.module] if node.module else []))


def imports(module: str, path: Path, known: frozenset[str]) -> list[Use]:
    """Every module that a file imports, at its top or in a function; ours (`known`) by their full name."""
    uses = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            uses += [Use(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, path)
            names = [f"{base}.{alias.name}" for alias in node.names]
            uses += [Use(name if name in known else base, node.lineno) for name in names]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
            name = node.args[0]
            dynamic = not isinstance(name, ast.Constant)
            uses.append(Use("a name made at run time" if dynamic else str(name.value), node.lineno))
    return uses


def _called(node: ast.Call) -> str:
    function = node.func
    return getattr(function, "attr", getattr(function, "id", ""))


def impure_calls(path: Path) -> list[tuple[str, Use]]:
    """Calls that open a file, read the clock or draw from numpy's generators, each with its kind."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Call):
            name = _called(node)
            if name in FILE_CALLS:
                found.append(("opens a file", Use(name, node.lineno)))
            elif name in CLOCK_CALLS and isinstance(node.func, ast.Attribute):
                found.append(("reads the clock", Use(name, node.lineno)))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in DRAWS:
            found.append(("draws random numbers", Use("np.random", node.lineno)))
    return found


def _breaches_of(module: str, path: Path, known: frozenset[str]) -> list[tuple[int, str]]:
    layer = layer_of(module)
    if layer is None:
        return [(1, "has no layer, or two: put it in LAYERS of scripts/architecture.py")]
    found = []
    for use in imports(module, path, known):
        top = use.what.split(".")[0]
        target = layer_of(use.what) if use.what in known else None
        if target is not None and target > layer:
            found.append((use.line, f"layer {layer} imports {use.what} of layer {target}"))
        if top == "numba" and module not in MAY_IMPORT_NUMBA:
            found.append((use.line, "imports numba; only core.jit may"))
        if layer in PURE and top in FORBIDDEN_WHEN_PURE:
            found.append((use.line, f"layer {layer} is pure and imports {top}"))
        if layer in PURE and use.what.startswith("numpy.random"):
            found.append((use.line, f"layer {layer} is pure and draws random numbers (numpy.random)"))
    for kind, use in impure_calls(path) if layer in PURE else []:
        if kind != "opens a file" or module not in MAY_OPEN_FILES:
            found.append((use.line, f"layer {layer} is pure and {kind} ({use.what})"))
    return found


def breaches(root: Path = ROOT) -> list[str]:
    """Every breach of the layers under `root`, one line each: file, line, what is wrong."""
    files = modules(root)
    known = frozenset(files)
    return [
        f"{path.relative_to(root)}:{line}: {what}"
        for module, path in files.items()
        for line, what in _breaches_of(module, path, known)
    ]


def pure_files(root: Path = ROOT) -> list[str]:
    return [str(p.relative_to(root)) for m, p in modules(root).items() if layer_of(m) in PURE]


def edges(root: Path = ROOT) -> set[tuple[str, str]]:
    """(importer, imported) for every pair of our own modules."""
    files = modules(root)
    known = frozenset(files)
    return {(m, u.what) for m, p in files.items() for u in imports(m, p, known) if u.what in known}


if __name__ == "__main__":
    pure = "--pure" in sys.argv
    lines = pure_files() if pure else breaches()
    print("\n".join(lines) or "imports point down, pure layers are pure")
    sys.exit(bool(lines) and not pure)
