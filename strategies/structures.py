"""What can be sold, as data: which sides are used, where the shorts sit, how wide each wing is.

All structures share four leg slots (long put, short put, short call, long call) and one expiry.
"""

from __future__ import annotations

from typing import NamedTuple


class Structure(NamedTuple):
    use_put: int
    use_call: int
    short_at_money: int  # 1: both shorts at the strike nearest the spot, else by delta
    broken: int  # 1: the put wing is broken_wing_ratio times the call wing

    @property
    def legs(self) -> int:
        return 2 * (self.use_put + self.use_call)


STRUCTURES = {
    "iron_condor": Structure(1, 1, 0, 0),
    "put_spread": Structure(1, 0, 0, 0),
    "call_spread": Structure(0, 1, 0, 0),
    "iron_butterfly": Structure(1, 1, 1, 0),
    "broken_wing_condor": Structure(1, 1, 0, 1),
}
