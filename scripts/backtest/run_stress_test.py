"""`python main.py stress` under its classic name; the same options.

python scripts/backtest/run_stress_test.py [--quick] [--at TIME] [...]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from main import main

if __name__ == "__main__":
    sys.exit(main(["stress", *sys.argv[1:]]))
