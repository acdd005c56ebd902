"""What a watcher sees: a book that 80 columns hold, and a terminal that is given back as it was."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.live.view import legs_of, viewer
from core.portfolio import new_book
from core.types import Reason

pytest.importorskip("rich")
OCC = ["SPY180316P00243000", "SPY180316P00253000", "SPY180316C00290000", "SPY180316C00300000"]
STEP = SimpleNamespace(row=0, equity=9_997_696, verdict=int(Reason.ENTER), wanted=[])
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def given(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns as stderr."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return found


def trader_of(legs: tuple[int, ...] = (0, 1, 2, 3)) -> Any:
    book = new_book(10_000_000, 2, 2)
    if legs:
        slot = book.slot[0]
        slot.trade, slot.contracts, slot.credit, slot.last_mid2, slot.target, slot.stop = 0, 3, 178, 370, 89, 1 << 30
        slot.legs[:] = legs
    day = SimpleNamespace(columns={"minute": np.array([630])}, occ=OCC)
    return SimpleNamespace(engine=SimpleNamespace(book=book, day=day), safe=False, feed="indicative")


def asked(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"quiet": False, "json": False, **changes})


def test_legs_are_told_as_a_trader_says_them() -> None:
    assert legs_of(OCC) == ("2018-03-16", "+243 -253 P  -290 +300 C")
    assert legs_of([OCC[0], OCC[1], None, None]) == ("2018-03-16", "+243 -253 P")
    assert legs_of([None] * 4) == ("", "")


def test_the_book_is_held_by_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = given(monkeypatch)
    with viewer(asked()) as watch:
        watch(trader_of(), STEP)
    text = terminal.getvalue()
    assert "10:30  equity $99,976.96" in text and "feed indicative" in text
    assert "2018-03-16 +243 -253 P  -290 +300 C 3   1.78 1.85 -21.00   0.89    -" in text


def test_an_empty_book_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = given(monkeypatch)
    with viewer(asked()) as watch:
        watch(trader_of(()), STEP)
    assert "nothing is open" in terminal.getvalue()


def test_the_cursor_comes_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = given(monkeypatch)
    with pytest.raises(KeyboardInterrupt), viewer(asked()) as watch:
        watch(trader_of(), STEP)
        assert HIDDEN in terminal.getvalue() and SHOWN not in terminal.getvalue()
        raise KeyboardInterrupt
    assert terminal.getvalue().rindex(SHOWN) > terminal.getvalue().rindex(HIDDEN)


def test_what_is_logged_goes_through_the_table_and_back_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = given(monkeypatch)
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with viewer(asked()):
        assert handler.stream is sys.stderr and handler.stream is not terminal
    assert handler.stream is terminal


def test_elsewhere_a_line_is_written_and_nothing_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with viewer(asked()) as watch:
        watch(trader_of(), STEP)
        watch(trader_of(), STEP)
    assert capsys.readouterr().err.count("10:30") == 1
    with viewer(asked(quiet=True)) as watch:
        watch(trader_of(), STEP)
    assert capsys.readouterr().err == ""
