"""What the rehearsed market shows at a moment: bars that have closed and quotes, with the faults asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.live.occ import occ_symbol, parse_occ
from core.live.tape import Tape
from core.market.calendar import NS_DAY, NS_MINUTE, day_text

BAR_NS = 5 * NS_MINUTE
QUOTE_DELAY_NS = 1_000_000_000


class Shown:
    """The tape at virtual times. next_after_ns: so long after a bar's close the next row's quotes are shown."""

    def __init__(self, tape: Tape, next_after_ns: int) -> None:
        self.tape, self.next_after_ns = tape, next_after_ns
        self.options = {str(occ): parse_occ(str(occ)) for occ in tape.occ}
        self.column = {str(occ): c for c, occ in enumerate(tape.occ)}
        self.faults: dict[str, Any] = {}

    def session(self, now: int) -> int:
        """Number of the session that `now` lies in, -1 outside."""
        s = int(np.searchsorted(self.tape.close_ns, now, side="left"))
        return s if s < len(self.tape.day) and self.tape.open_ns[s] <= now < self.tape.close_ns[s] else -1

    def row(self, now: int) -> int:
        """The row whose quotes are shown, -1 before the first."""
        r = int(np.searchsorted(self.tape.ts, now, side="right")) - 1
        following = r + 1
        if following < len(self.tape.ts) and self.session(now) >= 0:
            begins = self.tape.ts[r] if r >= 0 and self.tape.ts[r] > self.tape.ts[following] - 2 * BAR_NS else None
            first = begins if begins is not None else self.tape.ts[following] - BAR_NS
            if now >= first + self.next_after_ns:
                return following
        return r

    def changes(self, after: int, until: int) -> list[int]:
        """Times in (after, until] at which other quotes are shown."""
        shown = np.concatenate([self.tape.ts, self.tape.ts - BAR_NS + self.next_after_ns])
        inside = shown[(shown > after) & (shown <= until)]
        return sorted(set(inside.tolist()))

    def spot(self, now: int) -> float:
        r = self.row(now)
        price = self.tape.bars[max(r, 0), 0 if r < 0 else 3]
        return round(float(price) * (1.0 + float(self.faults.get("jump", 0.0))), 2)

    def quote(self, occ: str, now: int) -> tuple[int, int]:
        """(bid, ask) in cents; (-1, -1) where there is none."""
        r, c = self.row(now), self.column.get(occ)
        if c is None or r < 0:
            return -1, -1
        jump = float(self.faults.get("jump", 0.0))
        if jump:
            return self._moved(occ, r, jump)
        bid, ask = int(self.tape.bid[r, c]), int(self.tape.ask[r, c])
        widen = int(self.faults.get("widen", 0))
        return (max(bid - widen, 0), ask + widen) if bid >= 0 else (bid, ask)

    def _moved(self, occ: str, r: int, jump: float) -> tuple[int, int]:
        """The quote after the spot jumped by a share: what the strike that lay as far away showed, scaled."""
        option = self.options[occ]
        aim = round(option.strike_cents / (1.0 + jump) / 100.0) * 100
        near = self.column.get(occ_symbol(option.root, option.expiry_day, option.right, aim))
        if near is None:
            inside = (
                max(self.spot_cents(r, jump) - option.strike_cents, 0)
                if option.right
                else max(option.strike_cents - self.spot_cents(r, jump), 0)
            )
            return max(inside - 10, 0), inside + 10
        return round(int(self.tape.bid[r, near]) * (1 + jump)), round(int(self.tape.ask[r, near]) * (1 + jump)) + 1

    def spot_cents(self, r: int, jump: float) -> int:
        return round(float(self.tape.bars[r, 3]) * (1 + jump) * 100)

    # ------------------------------------------------------------ as JSON

    def quote_body(self, occ: str, now: int, stamp: Any) -> dict[str, Any]:
        bid, ask = self.quote(occ, now)
        faults = self.faults
        at = now - QUOTE_DELAY_NS - int(faults.get("stale_s", 0)) * 1_000_000_000
        if faults.get("crossed"):
            bid, ask = ask + 5, bid
        if faults.get("locked"):
            bid = ask
        if faults.get("zero_bid"):
            bid = 0
        when = "0001-01-01T00:00:00Z" if faults.get("no_time") else stamp(at)
        body: dict[str, Any] = {
            "ap": max(ask, 0) / 100, "as": 10, "ax": "C", "bp": max(bid, 0) / 100, "bs": 10, "bx": "C", "c": " ",
            "t": when,
        }  # fmt: skip
        if faults.get("nan_strings"):
            body["bp"] = "NaN"
        return body

    def snapshot_body(self, occ: str, now: int, stamp: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"latestQuote": self.quote_body(occ, now, stamp)}
        if self.faults.get("partial_greeks"):
            body["greeks"] = {"delta": 0.1}
        elif not self.faults.get("no_greeks"):
            body["greeks"] = {"delta": 0.1, "gamma": 0.01, "theta": -0.1, "vega": 0.5, "rho": 0.01}
            body["impliedVolatility"] = 0.0 if self.faults.get("zero_iv") else 0.16
        return body

    def listed(self, now: int) -> list[str]:
        """Symbols that have not expired, in order."""
        today = now // NS_DAY
        missing = set(self.faults.get("missing_legs", ()))
        return [occ for occ, option in self.options.items() if option.expiry_day >= today and occ not in missing]

    def closed_bars(self, start: int, end: int, now: int, stamp: Any) -> list[dict[str, Any]]:
        """Bars that began in [start, end] and have closed, as Alpaca gives them: stamped at their start."""
        found = []
        for ts, bars in ((self.tape.past_ts, self.tape.past_bars), (self.tape.ts, self.tape.bars)):
            begins = ts - BAR_NS
            for i in np.flatnonzero((begins >= start) & (begins <= end) & (ts <= now)):
                if self.faults.get("halted_bars") and ts[i] > self.faults["halted_bars"]:
                    continue
                o, h, low, c, v = (float(x) for x in bars[i])
                found.append(
                    {"t": stamp(int(begins[i])), "o": o, "h": h, "l": low, "c": c, "v": int(v), "n": 100, "vw": c}
                )
        return found

    def option_bars(self, occ: str, start: int, end: int, now: int, stamp: Any) -> list[dict[str, Any]]:
        """Every second closed bar that began in [start, end], traded at mid."""
        c, ts, found = self.column[occ], self.tape.ts, []
        for i in np.flatnonzero((ts - BAR_NS >= start) & (ts - BAR_NS <= end) & (ts <= now))[::2]:
            bid, ask = int(self.tape.bid[i, c]), int(self.tape.ask[i, c])
            if ask > 0:
                mid = round((bid + ask) / 200, 2)
                bar = dict.fromkeys(("o", "h", "l", "c", "vw"), mid)
                found.append({**bar, "t": stamp(int(ts[i] - BAR_NS)), "v": 10, "n": 3})
        return found

    def contract_body(self, occ: str, uuid: Any) -> dict[str, Any]:
        option = self.options[occ]
        return {
            "id": uuid(occ), "symbol": occ, "name": f"SPY {day_text(option.expiry_day)} {option.strike_cents / 100:g}",
            "status": "active", "tradable": occ not in self.faults.get("not_tradable", ()),
            "expiration_date": day_text(option.expiry_day), "root_symbol": option.root, "underlying_symbol": "SPY",
            "underlying_asset_id": uuid("SPY"), "type": "call" if option.right else "put", "style": "american",
            "strike_price": f"{option.strike_cents / 100:g}", "multiplier": "100", "size": "100",
            "open_interest": "1000", "open_interest_date": day_text(option.expiry_day - 1), "close_price": "1.00",
            "close_price_date": day_text(option.expiry_day - 1),
        }  # fmt: skip
