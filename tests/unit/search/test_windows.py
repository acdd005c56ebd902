"""Walk-forward and cross-validation: nothing that is tested was trained on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.search.cross_validation import bounds_of, cross_validated, paths_of, splits_of, training_mask
from core.search.windows import drift, efficiency, stitched, walk_forward

DAYS = np.array([d for d in range(20_000, 21_800) if (d + 3) % 7 < 5])


@given(
    kind=st.sampled_from(("anchored", "rolling")), windows=st.integers(1, 8), purge=st.integers(0, 60),
    embargo=st.integers(0, 20),
)  # fmt: skip
def test_no_position_of_a_training_is_open_in_its_test(kind: str, windows: int, purge: int, embargo: int) -> None:
    found = walk_forward(DAYS, kind, windows, purge, embargo)
    assert len(found) == windows and found[-1].test_last == len(DAYS) - 1
    for window in found:
        assert DAYS[window.train_last] + purge + embargo < DAYS[window.test_first]
        assert window.train_first <= window.train_last < window.test_first <= window.test_last
        assert kind == "rolling" or window.train_first == 0
    for a, b in pairwise(found):
        assert b.test_first == a.test_last + 1 and b.train_last > a.train_last
        assert kind == "anchored" or b.train_first > a.train_first


def test_impossible_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="sideways"):
        walk_forward(DAYS, "sideways", 3, 0, 0)
    with pytest.raises(ConfigError, match="fewer --windows"):
        walk_forward(DAYS[:120], "rolling", 10, 30, 5)


def test_efficiency_is_undefined_without_a_gain() -> None:
    ratios, whole = efficiency([100.0, -50.0, None], [50.0, 20.0, 10.0])
    assert ratios == [0.5, None, None] and whole == pytest.approx(70.0 / 50.0)
    assert efficiency([-1.0], [5.0])[1] is None


def test_drift_counts_steps() -> None:
    chosen = [{"a": 1.0, "b": "x"}, {"a": 3.0, "b": "x"}, {"a": 3.0, "b": "y"}]
    found = drift(chosen, {"a": (1.0, 2.0, 3.0), "b": ("x", "y")})
    assert found.mean_steps == {"a": 1.0, "b": 0.5} and found.largest_steps == {"a": 2, "b": 1}
    assert found.kept == 0.0


def test_equity_goes_on_where_it_ended() -> None:
    assert stitched([(100, np.array([110, 120])), (120, np.array([90]))]).tolist() == [110, 120, 90]
    with pytest.raises(ValueError, match="ended with 120"):
        stitched([(100, np.array([110, 120])), (119, np.array([90]))])


@given(groups=st.integers(3, 9), tested=st.integers(1, 3))
def test_every_path_covers_every_group_once(groups: int, tested: int) -> None:
    splits = splits_of(groups, tested)
    served = paths_of(splits, groups, tested)
    assert len({(int(split), g) for row in served for g, split in enumerate(row)}) == served.size
    for row in served:
        assert all(g in splits[split] for g, split in enumerate(row))


@given(first=st.integers(0, 1000), length=st.integers(5, 200), purge=st.integers(0, 60), embargo=st.integers(0, 20))
def test_purged_trainings_share_no_position_with_a_test(first: int, length: int, purge: int, embargo: int) -> None:
    end = min(first + length, len(DAYS))
    mask = training_mask(DAYS, [(first, end)], purge, embargo)
    for day in DAYS[mask]:
        assert day + purge < DAYS[first] or day > DAYS[end - 1] + purge + embargo
    assert not mask[first:end].any()


def test_choosing_reads_the_training_alone() -> None:
    rng = np.random.default_rng(4)
    returns = rng.standard_normal((len(DAYS), 30)) * 0.01
    found = cross_validated(returns, DAYS, 6, 2, 30, 5)
    bounds, splits = bounds_of(len(DAYS), 6), splits_of(6, 2)
    other = returns.copy()
    for group in splits[3]:
        first, end = bounds[group]
        other[first:end] = rng.standard_normal((end - first, 30))
    assert cross_validated(other, DAYS, 6, 2, 30, 5).chosen[3] == found.chosen[3]
    assert found.returns.shape == (5, len(DAYS)) and len(found.chosen) == 15


def test_skill_survives_out_of_sample_and_luck_does_not() -> None:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((len(DAYS), 60)) * 0.01
    assert abs(np.median(cross_validated(noise, DAYS, 6, 2, 30, 5).sharpe)) < 0.8
    noise[:, 17] += 0.002
    found = cross_validated(noise, DAYS, 6, 2, 30, 5)
    assert (found.chosen == 17).mean() > 0.9 and np.median(found.sharpe) > 2.0


def test_groups_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="groups"):
        cross_validated(np.zeros((50, 2)), DAYS[:50], 8, 2, 0, 0)
    with pytest.raises(ConfigError, match="purging"):
        cross_validated(np.ones((200, 2)), DAYS[:200], 4, 2, 200, 0)
