"""Smiles on SPY's real quotes of summer 2026: within the spread, also on strikes left out of the fit."""

import pytest

from scripts.validate_surface import CHAIN, measured


@pytest.fixture(scope="module")
def found(kit):
    if not (kit / CHAIN).is_file():
        pytest.skip(f"{kit} has no {CHAIN}")
    return measured(kit)[1]


def test_svi_is_within_half_the_spread_in_seventy_per_cent_of_expiries(found):
    assert found["svi_share_within_1"] >= 0.70
    assert found["svi_held_out_share_within_1"] >= 0.70
    assert found["butterflies_left"] == 0 and found["calendar_gaps_left"] == 0


def test_ssvi_is_within_four_half_spreads(found):
    assert found["ssvi_median"] <= 4.0 and found["ssvi_held_out_median"] <= 4.0
    assert found["ssvi_share_within_4"] >= 0.70 and found["ssvi_held_out_share_within_4"] >= 0.70


def test_american_volatilities_are_the_vendors(found):
    assert found["vendor_gap_median"] <= 0.10 and found["vendor_gap_p90"] <= 0.30
