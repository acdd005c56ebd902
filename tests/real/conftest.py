"""Stores built once for the tests on real files; a kit that lacks a file skips them and says so."""

from pathlib import Path

import pytest

from core import config as settings
from core.market.importers import import_market

NO_USER_FILE = Path("no-such-folder") / "config.py"  # the tests' settings do not depend on the user's


def needed(kit, *names):
    """Paths of the kit's files; the test skips where one is absent."""
    absent = [name for name in names if not (kit / name).is_file()]
    if absent:
        pytest.skip(f"{kit} has no {', '.join(absent)}")
    return [kit / name for name in names]


@pytest.fixture(scope="session")
def kit_files(kit):
    """kit_files(name, ...) -> their paths, or a skip with its reason."""
    return lambda *names: needed(kit, *names)


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def outcomes_store(kit_files, stores):
    """Same-day condors: the side of each leg that traded, the index at entry and its close."""
    (file,) = kit_files("spx_0dte_ironcondor_outcomes.csv")
    return import_market("outcomes", file, file, "outcomes", stores, thin=True)


@pytest.fixture(scope="session")
def spxw_store(kit_files, stores):
    """Evening chains of SPXW on two rows a day."""
    chain, daily = kit_files("spxw_chain_eod_2018.parquet", "spx_daily.parquet")
    return import_market("standard", daily, chain, "spxw", stores)


@pytest.fixture(scope="session")
def configured():
    """configured({path: value}, preset) -> settings of the defaults, a preset and these values."""

    def make(values=None, preset=None):
        sets = [f"{path}={value}" for path, value in (values or {}).items()]
        return settings.load(preset=preset, sets=sets, user_file=NO_USER_FILE)

    return make
