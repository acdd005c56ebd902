"""The gate that every entry passes, and the halts: caps on greeks, losses and margin; pure kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.market.calendar import day_number
from core.types import Limits
from strategies.rules import whole_cents

MARGINS = ("none", "alpaca", "reg_t", "ibkr", "portfolio")
GREEK_CAPS = ("delta", "gamma", "vega", "theta")


def limits_from(values: Mapping[str, Any]) -> Limits:
    """The settings risk.* as numbers."""
    risk = {k.rsplit(".", 1)[1]: v for k, v in values.items() if k.startswith("risk.")}
    caps = {f"{of}_{name}": risk[f"{of}_{name}"] for of in ("trade", "book") for name in GREEK_CAPS}
    return Limits(
        margin=MARGINS.index(risk["margin"]),
        power_share=risk["buying_power"],
        greeks=int(any(caps.values())),
        **caps,
        trade_loss=whole_cents(risk["trade_loss"]),
        book_loss=whole_cents(risk["book_loss"]),
        book_contracts=risk["book_contracts"],
        expiry_loss_share=risk["expiry_loss"],
        shock_loss_share=risk["shock_loss"],
        shock_vol=risk["shock_vol"],
        daily_loss_share=risk["daily_loss"],
        drawdown_share=risk["drawdown"],
        drawdown_rest=risk["drawdown_rest"],
        halt_closes=int(risk["halt"] == "close_all"),
        losses_in_row=risk["losses_in_row"],
        losses_rest=risk["losses_rest"],
        kill_from=-1 if risk["kill_from"] is None else day_number(risk["kill_from"]),
    )
