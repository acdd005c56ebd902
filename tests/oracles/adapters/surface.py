"""SVI slices."""

import math
from typing import Any

from core.pricing.svi import jump_wings_of, svi_density_factor, svi_total_variance, svi_vol
from tests.oracles.compare import Adapter, Judge


def svi(inputs: dict[str, Any]) -> dict[str, Any]:
    raw = tuple(float(inputs[name]) for name in ("a", "b", "rho", "m", "sigma"))
    if inputs["kind"] == "raw_to_jw":
        wings = jump_wings_of(*raw, float(inputs["t"]))
        return dict(zip(("v", "psi", "p", "c", "v_tilde"), wings, strict=True))
    k = math.log(inputs["strike"] / inputs["forward"])
    return {
        "total_variance": svi_total_variance(*raw, k),
        "implied_vol": svi_vol(*raw, k, float(inputs["T"])),
        "g": svi_density_factor(*raw, k),
    }


ADAPTERS: dict[str, Adapter] = {"svi": svi}
JUDGES: dict[str, Judge] = {}
