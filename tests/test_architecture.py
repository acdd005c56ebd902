"""The shape of the tree: imports point down, pure layers stay pure, and no file names a machine."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scripts import draw_diagrams
from scripts.architecture import LAYERS, ROOT, breaches, layer_of, modules, pure_files

MACHINE_PATH = re.compile(r"(?<![\w.:/~])/(?:home|Users|root|work|tmp|opt|mnt|srv)/\w")
INDEX_ADDRESS = re.compile(
    r"^\s*-{1,2}(?:i|index-url|extra-index-url|find-links)\b|:/{2}\S+/simple\b|python" r"hosted\.org",
    re.MULTILINE,
)


def tree(folder: Path, sources: dict[str, str]) -> Path:
    """A small project: file name -> source."""
    for name, source in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    return folder


def tracked_texts() -> list[tuple[Path, str]]:
    """Every text file that is, or would be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    texts = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (raw := path.read_bytes())[:8192]:
            texts.append((path.relative_to(ROOT), raw.decode("utf-8")))
    return texts


def test_imports_point_down_and_pure_layers_stay_pure():
    assert breaches() == []


def test_every_module_of_the_tree_stands_in_one_layer():
    assert {module: layer_of(module) for module in modules() if layer_of(module) is None} == {}


def test_a_tree_that_keeps_the_rules_has_no_breach(tmp_path):
    sources = {
        "main.py": "import argparse, time\nimport backtest_engine",
        "backtest_engine.py": "import pandas\nfrom core import costs, types\nopen('x')",
        "core/__init__.py": "",
        "core/types.py": "import numpy as np",
        "core/costs.py": "from . import types\nfrom .types import X",
        "core/config.py": "def load(path):\n    return path.read_text()",
        "core/jit.py": "import numba",
        "tests/test_x.py": "import pandas, main",
        "config.py": "import the_users_own",
        ".venv/x.py": "import numba",
    }
    assert breaches(tree(tmp_path, sources)) == []


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("core/costs.py", "import backtest_engine", "layer 2 imports backtest_engine of layer 4"),
        ("core/costs.py", "def f():\n    import backtest_engine", "costs.py:2: layer 2 imports back"),
        ("core/types.py", "from core import costs", "layer 0 imports core.costs of layer 2"),
        ("core/types.py", "from . import costs", "layer 0 imports core.costs of layer 2"),
        ("core/types.py", "from .costs import fee", "layer 0 imports core.costs of layer 2"),
        ("core/types.py", "__import__('core.costs')", "layer 0 imports core.costs of layer 2"),
        ("core/market/store.py", "from .. import costs", "layer 1 imports core.costs of layer 2"),
        ("core/costs.py", "from numba import njit", "only core.jit may"),
        ("backtest_engine.py", "import numba.typed", "only core.jit may"),
        ("core/costs.py", "import pandas as pd", "pure and imports pandas"),
        ("fuzzy_engine.py", "def f():\n    from time import monotonic", "pure and imports time"),
        ("strategies/hedge.py", "import random", "pure and imports random"),
        ("core/costs.py", "from numpy.random import default_rng", "draws random numbers"),
        ("core/costs.py", "import numpy as np\nx = np.random.default_rng(1)", "draws random numbers"),
        ("core/costs.py", "import numpy as np\nx = np.random.Generator(np.random.PCG64(1))", "draws random numbers"),
        ("core/costs.py", "import datetime as d\nx = d.datetime.now(d.UTC)", "reads the clock (now)"),
        ("core/costs.py", "x = open('fees.csv')", "opens a file (open)"),
        ("core/costs.py", "def f(path):\n    return path.read_text()", "opens a file (read_text)"),
        ("core/metrics.py", "import numpy as np\nx = np.memmap('x')", "opens a file (memmap)"),
        ("core/helpers.py", "", "has no layer"),
        ("data/make.py", "", "has no layer"),
    ],
)
def test_each_breach_is_seen_and_told_with_its_place(tmp_path, file, source, complaint):
    others = ("main.py", "backtest_engine.py", "core/__init__.py", "core/costs.py", "core/types.py")
    found = breaches(tree(tmp_path, {**dict.fromkeys(others, ""), file: source}))
    assert len(found) == 1
    assert found[0].startswith(f"{file}:")
    assert complaint in found[0]


def test_the_table_of_layers_names_each_module_once():
    names = [pattern for _, patterns in LAYERS.values() for pattern in patterns]
    assert len(names) == len(set(names))
    assert list(LAYERS) == sorted(LAYERS, reverse=True)


def test_every_function_of_the_pure_layers_is_typed_or_a_kernel():
    """Kernels take what numba infers; mypy cannot tell them from the rest, so this test does."""
    bare = []
    for name in pure_files():
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not any("njit" in ast.unparse(d) for d in node.decorator_list):
                arguments = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
                if node.returns is None or any(a.annotation is None for a in arguments):
                    bare.append(f"{name}:{node.lineno} {node.name}")
    assert bare == []


def test_the_pictures_were_drawn_from_this_code():
    for name, facts in draw_diagrams.facts().items():
        drawn = draw_diagrams.facts_in(ROOT / "diagrams" / name)
        assert drawn == facts, f"diagrams/{name} is out of date: run python scripts/draw_diagrams.py"


@pytest.mark.slow
def test_the_same_code_draws_the_same_bytes():
    for name, facts in draw_diagrams.facts().items():
        assert draw_diagrams.picture(name, facts) == draw_diagrams.picture(name, facts)


def test_no_two_tests_of_a_file_share_a_name():
    """The linter's own rule is off in tests, where @both_ways repeats the names of kernels."""
    twice = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
        twice += [f"{path.name}: {name}" for name in sorted(set(names)) if names.count(name) > 1]
    assert twice == []


def test_no_file_names_a_path_of_some_machine():
    assert [str(path) for path, text in tracked_texts() if MACHINE_PATH.search(text)] == []


def test_no_file_names_the_address_of_a_package_index():
    assert [str(path) for path, text in tracked_texts() if INDEX_ADDRESS.search(text)] == []


def test_the_hygiene_patterns_see_what_they_are_for():
    assert MACHINE_PATH.search('open("' + "/ho" + 'me/me/x.csv")')
    assert not MACHINE_PATH.search("../shared/data and core/work/x and https://x.org/home/a")
    assert INDEX_ADDRESS.search("--extra" + "-index-url x")
    assert INDEX_ADDRESS.search("https://mirror.local" + "/simple")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-backtrader.txt"])
def test_requirements_hold_the_versions_of_pyproject_with_hashes_and_nothing_else(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    wanted = {
        "requirements.txt": {*needed},
        "requirements-dev.txt": {*needed, *extras["dev"], *extras["backtrader"]},
        "requirements-backtrader.txt": {*extras["backtrader"]},
    }[name]
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0] for line in lines if line[0].isalpha()]
    assert {normal(pin) for pin in wanted} <= {normal(pin) for pin in pins}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line[0].isalpha():
            assert following.startswith("    --hash=sha256:")
        else:
            assert re.fullmatch(r"    (--hash=sha256:[0-9a-f]{64}( \\)?|#.*)", line)


def normal(pin: str) -> str:
    """A requirement as package indexes compare it: PyYAML and pyyaml, a_b and a-b are the same."""
    return re.sub(r"[-_]", "-", pin).lower()
