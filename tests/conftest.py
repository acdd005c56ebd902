"""What every test may ask for: the data kit, the oracles, a kernel both ways, and repeatable cases."""

import os
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.internal.conjecture.providers as providers
import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"kit": "../shared/data", "oracles": "../shared/oracles", "openapi": "../shared/alpaca"}

# Cases are drawn from a fixed seed; no verdict depends on how busy the machine is.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")
# It would also draw numbers that stand in the modules loaded so far, so that cases changed with any edit of the code
# and with the order in which workers get their files. None of them: what is drawn here is drawn everywhere.
providers._get_local_constants = lambda: providers._local_constants  # type: ignore[attr-defined]


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, default in FOLDERS.items():
        parser.addoption(f"--{name}", metavar="DIR", help=f"folder of the {name} tests (default {default})")
    parser.addoption("--slow", action="store_true", help="run the long tests too")
    parser.addoption("--live", action="store_true", help="run every fault of live trading, not the first ones alone")
    parser.addoption("--soak", metavar="N", type=int, default=0, help="run so many drawn days of live trading")


def pytest_configure(config: pytest.Config) -> None:
    for name in FOLDERS:
        if config.getoption(name) and not _folder(config, name).is_dir():
            raise pytest.UsageError(f"--{name} {config.getoption(name)}: there is no such folder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in ("slow", "live"):
            if item.get_closest_marker(name) and not config.getoption(name):
                item.add_marker(pytest.mark.skip(reason=f"long; run with --{name}"))


def _folder(config: pytest.Config, name: str) -> Path:
    """The folder an option names (relative to where pytest was started), else the one beside the project."""
    given = config.getoption(name)
    return (config.invocation_params.dir / given if given else ROOT / FOLDERS[name]).resolve()


def _folder_or_skip(config: pytest.Config, name: str) -> Path:
    folder = _folder(config, name)
    if not folder.is_dir():
        pytest.skip(f"{FOLDERS[name]} is not there; give its folder with --{name} DIR")
    return folder


@pytest.fixture(scope="session")
def kit(pytestconfig: pytest.Config) -> Path:
    """The folder of real market files."""
    return _folder_or_skip(pytestconfig, "kit")


@pytest.fixture(scope="session")
def oracles(pytestconfig: pytest.Config) -> Path:
    """The folder of reference cases computed elsewhere."""
    return _folder_or_skip(pytestconfig, "oracles")


@pytest.fixture(scope="session")
def openapi(pytestconfig: pytest.Config) -> Path:
    """The folder of the broker's own description of its interface."""
    return _folder_or_skip(pytestconfig, "openapi")


def both_ways(test: Callable[..., Any]) -> Any:
    """Run a test once with the compiled kernels and once with their plain Python.

    The kernels are the arguments of the test whose names are kernels in its module:
    `def test_x(exit_code)` in a file that imports `exit_code` gets `exit_code`, then
    `exit_code.py_func`. Other arguments stay fixtures, parameters or hypothesis draws
    (put `@both_ways` above `@given`). With QMTF_NO_JIT=1 there is one way, the plain one.
    """
    module = vars(sys.modules[test.__module__])
    names = [name for name in signature(test).parameters if hasattr(module.get(name), "py_func")]
    if not names:
        raise TypeError(f"{test.__name__}: no argument bears the name of a kernel imported by its file")
    plain = pytest.param(*(module[name].py_func for name in names), id="plain")
    compiled = pytest.param(*(module[name] for name in names), id="compiled")
    ways = [plain] if os.environ.get("QMTF_NO_JIT") == "1" else [compiled, plain]
    return pytest.mark.parametrize(names, ways)(test)
