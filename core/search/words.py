"""What a search says in sentences, on the terminal, in its files and on its page."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.report.model import usd
from core.search.findings import Findings
from core.search.objectives import SIGNS
from core.search.records import Found
from core.trials import METRIC


def why_none(findings: Findings) -> str:
    """Why a search recommends nothing."""
    if np.isfinite(findings.scores).any():
        return "no trial whose neighbours were all run: no plateau can be told"
    return f"no trial counted: {uncounted_words(findings)}"


def uncounted_words(findings: Findings) -> str:
    """Why trials do not count, with how many; one may have several reasons."""
    wish, figures = findings.found.plan.wish, findings.figures
    few = figures[:, METRIC["trades"]] < wish.least_trades
    told, reasons = [(int(few.sum()), f"with fewer than {wish.least_trades:,} trades")], few
    for limit in wish.limits:
        value = figures[:, METRIC[limit.metric]]
        unknown = np.isnan(value)
        beyond = ~unknown & ~SIGNS[limit.sign](value, limit.value)
        told.append((int(beyond.sum()), f"beyond {limit.metric} {limit.sign} {limit.value:g}"))
        told.append((int(unknown.sum()), f"of which {limit.metric} is unknown"))
        reasons = reasons | beyond | unknown
    told.append((int((np.isnan(findings.scores) & ~reasons).sum()), f"of which {wish.objective} is unknown"))
    return ", ".join(f"{count:,} {text}" for count, text in told if count)


def efficiency_words(ratio: float | None) -> str:
    """What is earned out of sample over what was in sample."""
    return "undefined (nothing earned in sample)" if ratio is None else f"{ratio:,.0%}"


def whole_efficiency_words(walked: dict[str, Any]) -> str:
    """That of all windows, and how many it leaves out. walked : outputs.walked_value"""
    without = sum(not step["counted"] for step in walked["windows"])
    left_out = f" (without {without} in which no trial counted)" if without else ""
    return efficiency_words(walked["efficiency"]) + left_out


def coarse_words(found: Found) -> str:
    """Which trials of a coarse stage were run in full, and what cannot be told by those."""
    asked, unranked, beside = found.coarse
    best = min(found.plan.coarse * len(found.phases), asked - unranked)
    return (
        f"coarse: {asked - unranked:,} of {asked:,} ranked by closed trades; run in full: the best {best:,}, "
        f"{unranked:,} that only a full run can tell, and {beside:,} one step from the best of these; PBO and what "
        "matters are unknown, for they take all trials"
        + ("" if found.ended else f"; {found.count():,} of these had run when it ended")
    )


def few_words(found: Found) -> str | None:
    """That fewer trials were found than asked for, if they were."""
    asked = found.plan.trials * len(found.phases)
    if found.plan.method == "grid" or found.plan.coarse or not found.ended or found.count() >= asked:
        return None
    return f"asked for {asked:,} trials; there are {found.count():,} that the conditions admit, or that could be found"


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
        f"(taken for {luck.effective:,.{0 if luck.effective >= 1000 else 1}f} independent ones); {luck.words}"
    )
