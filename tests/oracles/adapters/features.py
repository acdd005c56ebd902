"""Feature columns."""

from tests.oracles.compare import Adapter, Judge

ADAPTERS: dict[str, Adapter] = {}
JUDGES: dict[str, Judge] = {}
