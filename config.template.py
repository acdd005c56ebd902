"""Every setting with its default. Copy to config.py and keep the lines that you change.

Read as data (literal values only), never executed. Command line and YAML files override it.
"""

CONFIG = {
    "market": {
        # market to trade: history, synthetic, or a store made by `data import`
        "name": "history",
        # first session, inclusive; none for the market's own [New York date]
        "start": None,
        # last session, inclusive; none for the market's own [New York date]
        "end": None,
        # seed of modelled and generated markets [0 to 2.14748e+09 ]
        "seed": 7,
    },
    "account": {
        # cash on the first row [100 to 1e+09 $]
        "starting_cash": 100000.0,
        # interest on cash, credited daily: none, or the market's bill rate [zero | tbill]
        "cash_yield": "zero",
    },
    "data": {
        # with end-of-day chains: act on real snapshots only, or also on surface marks between them [snapshot | surface]
        "intraday_quotes": "snapshot",
    },
    "strategy": {
        # what is sold [iron_condor | put_spread | call_spread | iron_butterfly | broken_wing_condor]
        "structure": "iron_condor",
        # open at the same time [1 to 64 structures]
        "max_positions": 3,
        "entry": {
            # nearest expiry allowed [0 to 730 calendar days]
            "dte_min": 30,
            # farthest expiry allowed [0 to 730 calendar days]
            "dte_max": 60,
            # expiry preferred [0 to 730 calendar days]
            "dte_target": 45,
            # short strikes aim at this [0.01 to 0.6 absolute delta]
            "short_delta": 0.16,
            # short strikes never below [0 to 0.6 absolute delta]
            "delta_low": 0.1,
            # short strikes never above [0.01 to 0.8 absolute delta]
            "delta_high": 0.25,
            # how wing_width is read: $ of strike, % of spot, share of the one-sd move to expiry, or long delta [points | percent | expected_move | delta]
            "wing_rule": "points",
            # distance from short to long strike [0.001 to 1000 by wing_rule]
            "wing_width": 10.0,
            # put wing of a broken-wing condor [1 to 10 x call wing]
            "broken_wing_ratio": 2.0,
            # smallest credit, relative to the median that this wing width collects [0 to 3 x median credit/width]
            "min_credit_vs_median": 0.6,
            # first minute an entry may be decided [New York]
            "window_start": "10:00",
            # last minute an entry may be decided [New York]
            "window_end": "15:00",
            # weekdays on which entries are allowed
            "weekdays": "mon,tue,wed,thu,fri",
            # spacing of entries: once a day, once a week, or a ladder [daily | weekly | ladder]
            "schedule": "daily",
            # ladder: days between two entries (0: same day) [0 to 90 calendar days]
            "ladder_days": 5,
            # ladder: minutes between two entries of one day [0 to 390 minutes]
            "ladder_minutes": 60,
            # entries on one day [1 to 50 structures]
            "max_new_per_day": 1,
        },
        "size": {
            # most contracts per structure [1 to 10000 contracts]
            "contracts": 1,
            # max loss of one structure at entry [0.0001 to 1 share of equity]
            "max_risk_frac": 0.05,
        },
        "exits": {
            # profit kept that closes (0.5: at half); 1: never [0.01 to 1 share of credit]
            "profit_frac": 0.5,
            # loss that closes; 0: no stop [0 to 50 x credit lost]
            "stop_multiple": 2.0,
            # stop on the natural price, or on two mids in a row [natural | mid]
            "stop_on": "natural",
            # close at this many days to expiry; 0: off [0 to 365 calendar days]
            "exit_dte": 21,
            # close after so many days; 0: off [0 to 365 calendar days]
            "max_hold_days": 0,
            # time exits are decided from here on [New York]
            "time_exit_from": "10:00",
            # on the expiry's day: be flat, or hold to cash settlement [flat | settle]
            "expiry_rule": "flat",
            # expiry day: the close is decided here [New York]
            "flat_from": "14:30",
            # expiry day that closes early: decided so long before [10 to 240 minutes]
            "flat_before_early_close": 60,
            # first and last minutes of a session: mids trigger nothing [0 to 60 minutes]
            "edge_minutes": 10,
        },
    },
    "costs": {
        # how packages fill between natural and mid [natural | mid | fraction | leg_count | limit]
        "fill": "natural",
        # fraction: net = natural + share x (mid - natural) [0 to 1 share]
        "fraction": 0.25,
        # leg_count: part of the half-spread crossed with one leg [0 to 1 share]
        "leg_base": 0.25,
        # leg_count: more of it crossed per further leg [0 to 1 share]
        "leg_step": 0.073,
        # limit: steps from mid to natural [1 to 20 snapshots]
        "limit_steps": 3,
        # limit: snapshots before an entry is cancelled [1 to 100 snapshots]
        "order_life": 4,
        # fee table (data/presets/fees.yaml) [none | classic | alpaca]
        "fees": "alpaca",
        # closing buys at or below pay no commission; 0: off [0 to 1 $/share]
        "free_close_at": 0.0,
        # stress: added to each package's cost [0 to 100 $/share]
        "extra_slippage": 0.0,
        # stress: every leg's half-spread times this [1 to 100 x half-spread]
        "spread_multiple": 1.0,
    },
}
