"""Law 7: defaults < config.py < --preset < --config FILE < --set < the flags given."""

import sys

import pytest

from core.config import PRESETS, load, preset_names
from core.settings import SETTINGS
from main import build_parser, effective
from tests.markets import NO_FILE

PATH = "strategy.exits.profit_frac"
OTHER = "strategy.exits.stop_multiple"


@pytest.fixture
def layers(tmp_path):
    """A user's config.py and a YAML file that all set PATH; each sets one more."""
    user = tmp_path / "config.py"
    user.write_text(
        'CONFIG = {"strategy": {"exits": {"profit_frac": 0.31, "stop_multiple": 7.0}}, "costs": {"fees": "none"}}\n'
    )
    file = tmp_path / "mine.yaml"
    file.write_text("strategy:\n  exits: {profit_frac: 0.33}\ncosts.fill: mid\n")
    return user, str(file)


def test_each_layer_overrides_the_one_before(layers):
    user, file = layers
    preset = "classic"  # profit_frac 0.40, stop_multiple 1.0
    steps = [
        (load(user_file=NO_FILE), 0.50, "default"),
        (load(user_file=user), 0.31, "config.py"),
        (load(user_file=user, preset=preset), 0.40, "preset classic"),
        (load(user_file=user, preset=preset, file=file), 0.33, f"--config {file}"),
        (load(user_file=user, preset=preset, file=file, sets=[f"{PATH}=0.34"]), 0.34, "--set"),
        (
            load(user_file=user, preset=preset, file=file, sets=[f"{PATH}=0.34"], flags={PATH: 0.35}),
            0.35,
            "command line",
        ),
    ]
    for config, value, source in steps:
        assert config[PATH] == value
        assert config.sources[PATH] == source
    last = steps[-1][0]
    assert (last[OTHER], last.sources[OTHER]) == (1.0, "preset classic")
    assert (last["costs.fill"], last.sources["costs.fill"]) == ("mid", f"--config {file}")
    assert (last["costs.fees"], last.sources["costs.fees"]) == ("classic", "preset classic")
    assert steps[1][0]["costs.fees"] == "none"


def test_a_later_layer_replaces_a_subset_as_a_whole(tmp_path):
    path = "strategy.filters.avoid_regimes"
    user, file = tmp_path / "config.py", tmp_path / "mine.yaml"
    user.write_text('CONFIG = {"strategy": {"filters": {"avoid_regimes": ["crash", "high_vol"]}}}\n')
    file.write_text("strategy: {filters: {avoid_regimes: [trend_up]}}\n")
    assert load(user_file=user)[path] == "high_vol,crash"
    assert load(user_file=user, file=str(file))[path] == "trend_up"
    assert load(user_file=user, file=str(file), sets=[f"{path}=none"])[path] == "none"


def test_layers_are_checked_together_and_not_one_by_one(tmp_path):
    """A file may leave out the exit that --set then makes room for."""
    file = tmp_path / "mine.yaml"
    file.write_text("strategy: {exits: {exit_dte: 0}, manage: {roll_out: exit_dte}}\n")
    config = load(user_file=NO_FILE, file=str(file), sets=["strategy.exits.exit_dte=10"])
    assert (config["strategy.exits.exit_dte"], config["strategy.manage.roll_out"]) == (10, "exit_dte")


def test_of_two_sets_the_later_counts():
    assert load(user_file=NO_FILE, sets=[f"{PATH}=0.2", f"{PATH}=0.3"])[PATH] == 0.3


def test_a_flag_that_is_not_given_never_overwrites(tmp_path, monkeypatch):
    monkeypatch.setattr("core.config.ROOT", tmp_path)  # where the user's config.py would stand
    file = tmp_path / "m.yaml"
    file.write_text("market: {name: mine, start: 2018-02-05, end: 2018-03-05, seed: 3}\n")
    config = effective(build_parser().parse_args(["backtest", "--config", str(file)]))
    assert [config[f"market.{key}"] for key in ("name", "start", "end", "seed")] == [
        "mine",
        "2018-02-05",
        "2018-03-05",
        3,
    ]
    config = effective(
        build_parser().parse_args(["backtest", "--config", str(file), "--seed", "0", "--end", "2018-02-20"])
    )
    assert [config[f"market.{key}"] for key in ("name", "start", "end", "seed")] == [
        "mine",
        "2018-02-05",
        "2018-02-20",
        0,
    ]
    assert config.sources["market.seed"] == "command line"


def test_every_value_says_where_it_comes_from(layers):
    config = load(user_file=layers[0], file=layers[1])
    assert set(config.sources) == set(config.values) == {setting.path for setting in SETTINGS}
    changed = {path for path, source in config.sources.items() if source != "default"}
    assert changed == {PATH, OTHER, "costs.fees", "costs.fill"}


def test_the_hash_of_settings_is_of_values_not_of_sources(tmp_path):
    same = tmp_path / "same.yaml"
    same.write_text("strategy: {exits: {profit_frac: 0.5}}\n")
    plain = load(user_file=NO_FILE)
    assert load(user_file=NO_FILE, file=str(same)).hash() == plain.hash()
    assert load(user_file=NO_FILE, sets=[f"{PATH}=0.51"]).hash() != plain.hash()


def test_a_users_file_is_read_and_never_run(tmp_path, capsys):
    user = tmp_path / "config.py"
    user.write_text(
        "import sys\nsys.stdout.write('ran')\nsys.settings_were_run = True\n"
        'CONFIG = {"strategy": {"exits": {"profit_frac": 0.31}}}\nraise SystemExit(3)\n'
    )
    assert load(user_file=user)[PATH] == 0.31
    assert not hasattr(sys, "settings_were_run")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_set_of_known_settings_in_range(name):
    config = load(preset=name, user_file=NO_FILE)
    assert (PRESETS / "strategy" / f"{name}.yaml").exists()
    used = [path for path, source in config.sources.items() if source == f"preset {name}"]
    assert used or name == "practitioner"
