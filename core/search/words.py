"""What a search says in sentences, on the terminal, in its files and on its page."""

from __future__ import annotations

import numpy as np

from core.report.model import usd
from core.search.findings import Findings
from core.search.records import Found
from core.trials import METRIC


def why_none(findings: Findings) -> str:
    """Why a search recommends nothing."""
    if np.isfinite(findings.scores).any():
        return "no trial whose neighbours were all run: no plateau can be told"
    least = findings.found.plan.wish.least_trades
    return f"no trial counted (fewer than {least} trades, or beyond a limit)"


def whole_usd(value: float) -> str:
    """Dollars without cents."""
    return f"{'-' if value < 0 else ''}${abs(value):,.0f}"


def coarse_words(found: Found) -> str:
    """Which trials of a coarse stage were run in full, and what cannot be told by those."""
    asked, unranked, beside = found.coarse
    return (
        f"coarse: {asked - unranked:,} of {asked:,} ranked by closed trades; run in full: the best "
        f"{found.plan.coarse:,}, {unranked:,} that only a full run can tell, and {beside:,} one step from the best of "
        "these; PBO and what matters are unknown, for they take all trials"
    )


def loss_words(findings: Findings) -> str | None:
    """That even the recommended settings lose, if they do."""
    if findings.recommended < 0:
        return None
    net = float(findings.figures[findings.recommended, METRIC["net_profit"]])
    if net < 0.0:
        return f"even what is recommended loses: {usd(net)} over the whole window"
    return None if net > 0.0 else "what is recommended earns nothing over the whole window"


def luck_words(findings: Findings) -> str:
    luck = findings.luck
    if luck is None:
        return f"UNDECIDED: {why_none(findings)}"
    deflated = "unknown" if luck.deflated is None else f"{luck.deflated:.2f}"
    pbo = "unknown" if luck.pbo is None else f"{luck.pbo:.0%}"
    return (
        f"{luck.verdict.upper()}: deflated Sharpe {deflated}, PBO {pbo}, {luck.trials:,} settings tried on this market "
        f"(taken for {luck.effective:.1f} independent ones); {luck.words}"
    )
