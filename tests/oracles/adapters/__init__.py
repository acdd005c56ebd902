"""The adapters of every topic, and the topics that still wait."""

from tests.oracles.adapters import american, condor, european, features, latent, models, statistics, surface
from tests.oracles.compare import Adapter, Judge

MODULES = (american, condor, european, features, latent, models, statistics, surface)
ADAPTERS: dict[str, Adapter] = {topic: adapter for module in MODULES for topic, adapter in module.ADAPTERS.items()}
JUDGES: dict[str, Judge] = {topic: judge for module in MODULES for topic, judge in module.JUDGES.items()}
