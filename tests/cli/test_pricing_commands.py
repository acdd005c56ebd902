"""price and calibrate from the command line: figures that can be checked, files, and mistakes in one line."""

import json

import pytest

import main
from core.pricing.american import american_price
from core.report import folder as run_files
from tests import markets

TERMS = ["--spot", "600", "--vol", "0.2", "--dte", "30", "--rate", "0.04", "--yield", "0.01"]


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """Reports outside the project, the small markets under their names."""
    monkeypatch.setenv("QMTF_STORE_DIR", str(markets.market("table").path.parent))
    monkeypatch.setenv("QMTF_REPORTS_DIR", str(tmp_path / "reports"))
    monkeypatch.setattr(run_files, "ROOT", tmp_path)


def told(capsys, *args):
    """(exit code, stdout, stderr)"""
    code = main.main(list(args))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_an_option_on_stated_terms(capsys, tmp_path):
    code, out, _ = told(
        capsys, "price", *TERMS, "--right", "put", "--strike", "590", "--json", "--out", str(tmp_path / "run")
    )
    value = json.loads(out)
    assert code == 0
    exact = american_price(False, 600.0, 590.0, 30 / 365, 0.2, 0.04, 0.01)
    model = value["models"]["given vol"]
    assert model["american"] == pytest.approx(exact, abs=1e-3)
    assert model["american_tree"] == pytest.approx(exact, abs=5e-3)
    assert abs(model["american_simulated"] - exact) < 4 * model["american_simulated_error"]
    assert value["breakevens"] == [pytest.approx(590.0 - exact, abs=1e-3)]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["payoff.png", "price.json"]


def test_a_condor_cannot_lose_more_than_its_wider_wing_less_the_credit(capsys):
    args = ("price", *TERMS, "--condor", "550/570/630/640", "--credit", "3.1", "--report", "none")
    code, out, _ = told(capsys, *args, "--json")
    value = json.loads(out)
    assert code == 0 and value["folder"] is None
    assert value["max_profit"] == pytest.approx(3.1) and value["max_loss"] == pytest.approx(20.0 - 3.1)
    assert value["breakevens"] == [pytest.approx(566.9), pytest.approx(633.1)]
    assert 0.0 < value["probabilities"]["profit_at_expiry"] < 1.0
    code, out, _ = told(capsys, *args)
    assert code == 0 and "credit 3.10" in out and "an approximation, wrong under skew" in out


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--condor", "550/540/630/640"], "ascending"),
        (["--condor", "550/570"], "ascending"),
        (["--right", "put"], "--right with --strike"),
        ([], "--spot needs --vol"),
        (["--right", "put", "--strike", "590", "--dividend", "soon"], "days from now"),
        (["--right", "put", "--strike", "590", "--report", "html"], "give png or none"),
        (["--right", "put", "--strike", "-5"], "above 0"),
    ],
)
def test_mistakes_are_one_line(capsys, args, why):
    code, out, err = told(capsys, "price", *TERMS, *args)
    assert code in (2, 3) and out == "" and why in err and err.count("\n") == 1


def test_a_date_or_model_that_is_not_there_is_told(capsys):
    code, _, err = told(capsys, "calibrate", "--market", "table", "--date", "1999-01-04")
    assert code == 3 and "has no session on 1999-01-04" in err
    code, _, err = told(capsys, "price", "--market", "table", "--time", "noon")
    assert code == 2 and "15:30" in err
    code, _, err = told(capsys, "calibrate", "--market", "nowhere")
    assert code == 3 and "no market 'nowhere'" in err
