"""Settings: what is accepted, what is refused, and with which words."""

import ast

import pytest

from core.config import ORDERED, ROOT, Config, load, members, minutes_of, read_fees, read_yaml, template
from core.errors import ConfigError
from core.settings import BY_PATH, SETTINGS
from tests.markets import NO_FILE

REGIMES_AVOIDED = "strategy.filters.avoid_regimes"
MINUTES = "strategy.signals.indicator_minutes"
REVERSED = [  # each pair of ORDERED, and values that contradict each other
    ("strategy.entry.dte_min", "strategy.entry.dte_target", (46, 45)),
    ("strategy.entry.dte_target", "strategy.entry.dte_max", (61, 60)),
    ("strategy.entry.delta_low", "strategy.entry.short_delta", (0.17, 0.16)),
    ("strategy.entry.short_delta", "strategy.entry.delta_high", (0.26, 0.25)),
    ("strategy.entry.window_start", "strategy.entry.window_end", ("15:05", "15:00")),
    ("market.start", "market.end", ("2018-02-06", "2018-02-05")),
    ("strategy.filters.consensus_min", "strategy.filters.consensus_max", (0.7, 0.3)),
    ("strategy.filters.iv_rank_min", "strategy.filters.iv_rank_max", (60.0, 40.0)),
    ("strategy.filters.vix_min", "strategy.filters.vix_max", (30.0, 15.0)),
    ("strategy.filters.rsi_min", "strategy.filters.rsi_max", (70.0, 30.0)),
    ("strategy.filters.stoch_min", "strategy.filters.stoch_max", (80.0, 20.0)),
    ("strategy.signals.trend_fast", "strategy.signals.trend_slow", (30, 20)),
    ("strategy.signals.hmm_leave", "strategy.signals.hmm_enter", (0.65, 0.55)),
    ("strategy.signals.regime_high_vix", "strategy.signals.regime_crash_vix", (36.0, 35.0)),
    ("strategy.size.vol_low", "strategy.size.vol_high", (0.4, 0.3)),
]


def refused(**layers) -> str:
    """The message of the ConfigError that loading these layers raises."""
    with pytest.raises(ConfigError) as error:
        load(user_file=layers.pop("user", NO_FILE), **layers)
    text = str(error.value)
    assert "\n" not in text
    return text


def written(folder, text, name="settings.yaml"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


# ---------------------------------------------------------------- the table, the template, the defaults


def test_the_template_on_disk_is_the_one_that_is_printed():
    assert (ROOT / "config.template.py").read_text(encoding="utf-8") == template()


def test_the_template_holds_every_default_and_nothing_else():
    tree = ast.literal_eval(ast.parse(template()).body[-1].value)
    user = ROOT / "config.template.py"
    config = load(user_file=user)
    assert config.values == {setting.path: setting.default for setting in SETTINGS}
    assert set(config.sources.values()) == {"config.template.py"}
    assert list(tree) == ["market", "account", "data", "strategy", "risk", "assignment", "costs", "live"]


def test_every_default_is_inside_its_own_range():
    for setting in SETTINGS:
        assert load(user_file=NO_FILE, flags={setting.path: setting.default})[setting.path] == setting.default
        if setting.kind == "choice":
            assert setting.default in setting.choices
        assert setting.text


def test_members_of_a_default_are_choices_in_their_order():
    values = load(user_file=NO_FILE).values
    assert members(values, "strategy.entry.widen_regimes") == ("high_vol", "crash")
    for setting in SETTINGS:
        if setting.kind == "subset":
            chosen = members(values, setting.path)
            assert chosen == tuple(choice for choice in setting.choices if choice in chosen)


def test_defaults_fit_together():
    assert load(user_file=NO_FILE).values == {setting.path: setting.default for setting in SETTINGS}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("exits.profit_fraction", "strategy.exits.profit_frac"),
        ("strategy.exits.profitfrac", "strategy.exits.profit_frac"),
        ("dte_target", "strategy.entry.dte_target"),
        ("cost.fees", "costs.fees"),
        ("market.nmae", "market.name"),
    ],
)
def test_an_unknown_setting_fails_and_the_nearest_is_named(given, meant):
    text = refused(sets=[f"{given}=1"])
    assert f"unknown setting '{given}' in --set" in text
    assert f"did you mean '{meant}'?" in text


def test_nonsense_gets_no_suggestion():
    assert "did you mean" not in refused(sets=["qqqqqqqq=1"])


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.low is not None], ids=lambda s: s.path)
def test_a_number_outside_its_range_fails_with_value_and_range(setting):
    for value in (setting.low - 1, setting.high * 10 + 1):
        text = refused(flags={setting.path: value})
        assert setting.path in text
        assert f"{value:g}" in text
        assert f"{setting.low:g} to {setting.high:g}" in text


@pytest.mark.parametrize("value", ["abc", "", "nan", "inf", "-inf", "1e999", None, True, [1], {"a": 1}])
def test_what_is_not_a_number_fails(value):
    text = refused(flags={"strategy.exits.profit_frac": value}) if value is not None else None
    if value is None:
        with pytest.raises(ConfigError):
            load(user_file=NO_FILE).with_values(strategy__exits__profit_frac=None)
    else:
        assert "strategy.exits.profit_frac" in text


def test_a_whole_number_stays_whole():
    assert "whole number" in refused(sets=["strategy.max_positions=2.5"])
    value = load(user_file=NO_FILE, sets=["strategy.max_positions=2.0"])["strategy.max_positions"]
    assert value == 2
    assert isinstance(value, int)


@pytest.mark.parametrize("value", ["2018-02-30", "2018-13-01", "05/02/2018", "yesterday", "20180205x"])
def test_an_impossible_date_fails(value):
    assert f"market.start is {value!r}" in refused(flags={"market.start": value})


@pytest.mark.parametrize("value", ["25:00", "10", "10:30:00", "noon", "", "24:00"])
def test_an_impossible_time_fails(value):
    assert "strategy.entry.window_start" in refused(flags={"strategy.entry.window_start": value})


@pytest.mark.parametrize("value", ["9:75", "10:-5", "-1:90"])
def test_minutes_beyond_the_hour_fail(value):
    assert "strategy.entry.window_start" in refused(flags={"strategy.entry.window_start": value})


def test_an_unquoted_time_in_yaml_is_a_time(tmp_path):
    file = written(tmp_path, "strategy: {entry: {window_start: 10:30}}\n")
    assert load(user_file=NO_FILE, file=file)["strategy.entry.window_start"] == "10:30"


def test_a_date_that_does_not_exist_fails_in_yaml_too(tmp_path):
    assert "2018-02-30" in refused(file=written(tmp_path, "market: {start: 2018-02-30}\n"))


def test_a_date_in_yaml_is_a_date(tmp_path):
    assert (
        load(user_file=NO_FILE, file=written(tmp_path, "market: {start: 2018-02-05}\n"))["market.start"] == "2018-02-05"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [("mon,wed", "mon,wed"), (["fri", "mon"], "mon,fri"), ("Monday, TUESDAY", "mon,tue"), ("mon,mon", "mon")],
)
def test_weekdays_are_put_in_order(value, expected):
    assert load(user_file=NO_FILE, flags={"strategy.entry.weekdays": value})["strategy.entry.weekdays"] == expected


@pytest.mark.parametrize("value", ["", "sat", "mon,xyz", []])
def test_days_without_trading_fail(value):
    assert "strategy.entry.weekdays" in refused(flags={"strategy.entry.weekdays": value})


def test_an_unknown_choice_fails_with_the_choices():
    text = refused(sets=["costs.fill=natrual"])
    assert "natural, mid, fraction, leg_count, limit" in text
    assert "did you mean 'natural'?" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("none", "none"),
        ("", "none"),
        ([], "none"),
        ("crash", "crash"),
        ("crash, range", "range,crash"),
        (["crash", "high_vol", "crash"], "high_vol,crash"),
        ("crash,trend_down,trend_up,high_vol,range,unknown", "unknown,range,high_vol,trend_up,trend_down,crash"),
    ],
)
def test_members_of_a_subset_are_put_in_the_order_of_its_choices(value, expected):
    assert load(user_file=NO_FILE, flags={REGIMES_AVOIDED: value})[REGIMES_AVOIDED] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[crash, range]", "range,crash"), ("none", "none"), ("[]", "none"), ("trend_up", "trend_up")],
)
def test_a_subset_in_yaml_is_a_list_or_a_text(text, expected, tmp_path):
    file = written(tmp_path, f"strategy: {{filters: {{avoid_regimes: {text}}}}}\n")
    assert load(user_file=NO_FILE, file=file)[REGIMES_AVOIDED] == expected


def test_an_unknown_member_fails_with_the_choices():
    text = refused(sets=[f"{REGIMES_AVOIDED}=range,crsh"])
    assert "give none, or some of: unknown, range, high_vol, trend_up, trend_down, crash" in text
    assert "did you mean 'crash'?" in text


@pytest.mark.parametrize("value", ["none,crash", "crash;range", "Crash", ["none", "crash"], None, True, 5])
def test_what_is_no_list_of_members_fails(value):
    with pytest.raises(ConfigError, match="avoid_regimes"):
        load(user_file=NO_FILE).with_values(strategy__filters__avoid_regimes=value)


@pytest.mark.parametrize("value", [[5], [["crash"]], [None]])
@pytest.mark.parametrize("path", [REGIMES_AVOIDED, "strategy.entry.weekdays"])
def test_a_list_of_what_is_not_text_fails(path, value):
    assert path in refused(flags={path: value})


@pytest.mark.parametrize("value", [15, "15"])
def test_a_choice_that_looks_like_a_number_may_be_given_as_one(value):
    assert load(user_file=NO_FILE, flags={MINUTES: value})[MINUTES] == "15"


def test_a_number_in_a_file_may_be_a_choice(tmp_path):
    file = written(tmp_path, "strategy: {signals: {indicator_minutes: 60}}\n")
    assert load(user_file=NO_FILE, file=file)[MINUTES] == "60"
    user = tmp_path / "config.py"
    user.write_text('CONFIG = {"strategy": {"signals": {"indicator_minutes": 15}}}\n')
    assert load(user_file=user)[MINUTES] == "15"


@pytest.mark.parametrize("value", [10, "10", 5.5, True, None, "five"])
def test_a_number_that_is_no_choice_fails_with_the_choices(value):
    with pytest.raises(ConfigError, match="give one of: 5, 15, 60"):
        load(user_file=NO_FILE).with_values(strategy__signals__indicator_minutes=value)


@pytest.mark.parametrize(("low", "high", "values"), REVERSED)
def test_a_range_that_ends_before_it_starts_fails(low, high, values):
    text = refused(flags={low: values[0], high: values[1]})
    assert low in text and high in text and str(values[0]) in text


def test_every_ordered_pair_is_tried_above():
    assert [(low, high) for low, high, _ in REVERSED] == list(ORDERED)


def test_the_delta_band_does_not_bind_a_butterfly():
    loaded = load(user_file=NO_FILE, sets=["strategy.structure=iron_butterfly", "strategy.entry.short_delta=0.5"])
    assert loaded["strategy.entry.short_delta"] > loaded["strategy.entry.delta_high"]


def test_an_exit_that_would_act_at_entry_fails():
    assert "strategy.exits.exit_dte" in refused(sets=["strategy.exits.exit_dte=30"])
    load(user_file=NO_FILE, sets=["strategy.exits.exit_dte=0", "strategy.entry.dte_min=0"])


def test_rolling_out_by_days_to_expiry_needs_an_exit_by_days_to_expiry():
    text = refused(sets=["strategy.manage.roll_out=exit_dte", "strategy.exits.exit_dte=0"])
    assert "strategy.manage.roll_out is exit_dte" in text and "strategy.exits.exit_dte is 0" in text
    load(user_file=NO_FILE, sets=["strategy.manage.roll_out=exit_dte", "strategy.exits.exit_dte=1"])
    load(user_file=NO_FILE, sets=["strategy.manage.roll_out=tested", "strategy.exits.exit_dte=0"])


@pytest.mark.parametrize("text", ["a", "=1", "a.b"])
def test_a_malformed_set_fails(text):
    refused(sets=[text])


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "text",
    [
        "CONFIG = dict(strategy=1)",
        "CONFIG = {'market': {'name': __import__('os').system('true')}}",
        "CONFIG = {'market': {'name': 'a' + open('x').read()}}",
        "CONFIG = {'market': [x for x in ()]}",
        "CONFIG = 5",
        "x = 1",
        "",
        "CONFIG = {",
        "CONFIG = {'market': NAME}",
    ],
)
def test_a_python_file_that_is_more_than_literals_fails(text, tmp_path):
    file = tmp_path / "config.py"
    file.write_text(text + "\n")
    assert "config.py" in refused(user=file)


def test_a_python_file_with_an_impossible_key_fails(tmp_path):
    file = tmp_path / "config.py"
    file.write_text("CONFIG = {[]: 1}\n")
    assert "config.py" in refused(user=file)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"CONFIG = {}\x00"])
def test_a_python_file_that_is_not_text_fails(content, tmp_path):
    file = tmp_path / "config.py"
    file.write_bytes(content)
    assert "config.py" in refused(user=file)


@pytest.mark.parametrize(
    "text", ["- 1\n- 2\n", "just words\n", "a: [1\n", "a: b: c\n", "!!python/object/apply:os.system ['true']\n"]
)
def test_a_yaml_file_that_is_no_mapping_of_values_fails(text, tmp_path):
    refused(file=written(tmp_path, text))


def test_an_empty_yaml_file_changes_nothing(tmp_path):
    assert load(user_file=NO_FILE, file=written(tmp_path, "")).values == load(user_file=NO_FILE).values


def test_a_missing_or_foreign_file_fails(tmp_path):
    assert "no-such.yaml" in refused(file=str(tmp_path / "no-such.yaml"))
    refused(file=str(tmp_path))
    (tmp_path / "binary.yaml").write_bytes(b"\x80\x81\xff")
    refused(file=str(tmp_path / "binary.yaml"))


def test_a_group_given_a_value_and_a_value_given_a_group_fail(tmp_path):
    assert "unknown setting 'strategy'" in refused(file=written(tmp_path, "strategy: 5\n"))
    assert "unknown setting 'market.name.x'" in refused(file=written(tmp_path, "market: {name: {x: 1}}\n"))


def test_nested_and_dotted_keys_mean_the_same(tmp_path):
    nested = load(user_file=NO_FILE, file=written(tmp_path, "strategy: {exits: {exit_dte: 7}}\n"))
    dotted = load(user_file=NO_FILE, file=written(tmp_path, "strategy.exits: {exit_dte: 7}\n"))
    assert nested.values == dotted.values
    assert nested["strategy.exits.exit_dte"] == 7


def test_an_unknown_preset_fails_with_the_known_ones():
    text = refused(preset="weakly")
    assert "did you mean 'weekly'?" in text
    assert "practitioner" in text


def test_fees_are_dollars_per_contract():
    assert read_fees("none") == {"commission": 0.0, "both": 0.0, "sell": 0.0}
    assert read_fees("classic")["commission"] == 0.65
    assert set(BY_PATH["costs.fees"].choices) == {"none", "classic", "alpaca"}


def test_with_values_checks_like_any_other_layer():
    config = load(user_file=NO_FILE)
    assert isinstance(config, Config)
    changed = config.with_values("test", strategy__exits__exit_dte=7)
    assert (changed["strategy.exits.exit_dte"], changed.sources["strategy.exits.exit_dte"]) == (7, "test")
    assert config["strategy.exits.exit_dte"] == 21
    for bad in ({"strategy__exits__exit_dte": -1}, {"nothing": 1}, {"strategy__entry__dte_min": 46}):
        with pytest.raises(ConfigError):
            config.with_values(**bad)


def test_minutes_of_a_time():
    assert minutes_of("00:00") == 0
    assert minutes_of("09:30") == 570
    assert minutes_of("16:15") == 975


def test_a_key_that_stands_twice_in_yaml_fails(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("strategy:\n  exits: {profit_frac: 0.4, profit_frac: 0.5}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="profit_frac stands there twice"):
        load(file=str(path), user_file=tmp_path / "none")


def test_a_merge_key_in_yaml_is_no_second_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "strategy: {exits: &own {profit_frac: 0.4}}\nrisk: {}\naccount: {starting_cash: 5000}\n", encoding="utf-8"
    )
    assert load(file=str(path), user_file=tmp_path / "none")["strategy.exits.profit_frac"] == 0.4
    path.write_text("base: &b {a: 1}\nc: {<<: *b, d: 2}\n", encoding="utf-8")
    assert read_yaml(path)["c"] == {"a": 1, "d": 2}
