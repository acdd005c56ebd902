"""European options, their inversion, touch probabilities, local volatility."""

from tests.oracles.compare import Adapter, Judge

ADAPTERS: dict[str, Adapter] = {}
JUDGES: dict[str, Judge] = {}
