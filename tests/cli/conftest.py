"""Commands are typed with no settings of the user, on the small markets, and leave reports outside the project."""

import json

import pytest

import main
from core.report import folder as run_files
from tests import markets

SETS = [item for path, value in markets.SHORT_LIVED.items() for item in ("--set", f"{path}={value}")]


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch, tmp_path_factory):
    monkeypatch.setattr("core.config.ROOT", tmp_path_factory.mktemp("no-config"))


@pytest.fixture
def reports(monkeypatch, tmp_path):
    """A folder of reports of its own; the small market 'carried' stands under its name."""
    monkeypatch.setenv("QMTF_STORE_DIR", str(markets.market("carried").path.parent))
    monkeypatch.setattr(run_files, "ROOT", tmp_path)
    return tmp_path / "reports"


@pytest.fixture
def said(capsys):
    """What a command prints, which ends with this code."""

    def run(*args, code=0):
        assert main.main([*args]) == code
        return capsys.readouterr()

    return run


@pytest.fixture
def backtest(reports, said):
    """Makes a run on 'carried'; returns its id."""

    def run(*more, report="none"):
        command = ["backtest", "--market", "carried", "--report", report, "--json", "--quiet", *SETS, *more]
        return json.loads(said(*command).out)["run_id"]

    return run
