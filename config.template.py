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
        "signals": {
            # bars (minutes) of RSI, ADX, stochastic, Bollinger bands, volume and moving-average distance [5 | 15 | 60]
            "indicator_minutes": "5",
            # fast average of each timeframe's trend [2 to 100 bars]
            "trend_fast": 8,
            # slow average of each timeframe's trend [3 to 200 bars]
            "trend_slow": 21,
            # weight of the 5-minute trend in the consensus [0 to 1 share]
            "weight_5": 0.2,
            # weight of the 15-minute trend in the consensus [0 to 1 share]
            "weight_15": 0.3,
            # weight of the 60-minute trend in the consensus [0 to 1 share]
            "weight_60": 0.5,
            # past against which IV is ranked [20 to 1000 sessions]
            "iv_window": 252,
            # IV rank as share of days below, or by range [percentile | rank]
            "iv_measure": "percentile",
            # window of realised volatility [5 to 252 sessions]
            "realised_days": 20,
            # regimes by rules, or volatility by a hidden Markov model [rules | hmm]
            "classifier": "rules",
            # rules: a trend from this 60-minute ADX on [5 to 80 ADX]
            "regime_adx": 25.0,
            # rules: mean that gives a trend its direction [2 to 250 sessions]
            "regime_sma_days": 20,
            # rules: a trend is at least so far from that mean [0 to 0.2 share]
            "regime_distance": 0.01,
            # rules: high volatility from this VIX on [5 to 100 points]
            "regime_high_vix": 20.0,
            # rules: a crash from this VIX on [5 to 200 points]
            "regime_crash_vix": 35.0,
            # rules: or from this term structure on [0.8 to 3 VIX/VIX3M]
            "regime_crash_term": 1.1,
            # a new regime counts after so many bars in a row [1 to 400 bars]
            "regime_confirm": 6,
            # hmm: sessions between two fits on the past [5 to 504 sessions]
            "hmm_refit": 63,
            # hmm: turbulent from here on [0.5 to 1 probability]
            "hmm_enter": 0.7,
            # hmm: calm again below [0 to 0.7 probability]
            "hmm_leave": 0.4,
            # fuzzy rules (data/presets/fuzzy) [quantor | classic]
            "fuzzy": "quantor",
            # weight of the fuzzy rules on timeframes' consensus [0 to 10 x]
            "fuzzy_mtf": 1.0,
            # weight of the fuzzy rules on IV rank [0 to 10 x]
            "fuzzy_iv": 1.0,
            # weight of the fuzzy rules on VIX and its term structure [0 to 10 x]
            "fuzzy_regime": 1.0,
            # weight of the fuzzy rules on realised against implied volatility [0 to 10 x]
            "fuzzy_premium": 1.0,
            # weight of the fuzzy rules on RSI [0 to 10 x]
            "fuzzy_rsi": 1.0,
            # weight of the fuzzy rules on ADX [0 to 10 x]
            "fuzzy_adx": 1.0,
            # weight of the fuzzy rules on stochastic [0 to 10 x]
            "fuzzy_stoch": 1.0,
            # weight of the fuzzy rules on Bollinger bands [0 to 10 x]
            "fuzzy_bbands": 1.0,
            # weight of the fuzzy rules on volume [0 to 10 x]
            "fuzzy_volume": 1.0,
            # weight of the fuzzy rules on moving-average distance [0 to 10 x]
            "fuzzy_sma": 1.0,
        },
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
            # expiry nearest the target, or of the best edge a day [target | edge]
            "expiry_rule": "target",
            # against strikes below ATM volatility [0 to 5 delta per vol share]
            "skew_penalty": 0.0,
            # put wing alone [0.1 to 10 x wing_width]
            "put_wing_scale": 1.0,
            # call wing alone [0.1 to 10 x wing_width]
            "call_wing_scale": 1.0,
            # both wings where volatility is high; 1: off [1 to 10 x wing]
            "widen": 1.0,
            # widen: from this IV rank on [0 to 100 per cent]
            "widen_iv_rank": 50.0,
            # widen: or in these regimes [unknown | range | high_vol | trend_up | trend_down | crash]
            "widen_regimes": "high_vol,crash",
            # smallest credit moves so much from IV rank 50 to 100 [0 to 1 share]
            "credit_iv_scale": 0.0,
            # no entry after an exit; 0: off [0 to 365 calendar days]
            "wait_after_exit": 0,
            # no entry after a loss; 0: off [0 to 365 calendar days]
            "wait_after_loss": 0,
        },
        "filters": {
            # enter from here; 0 with max 1: off [0 to 1 consensus]
            "consensus_min": 0.0,
            # enter up to here [0 to 1 consensus]
            "consensus_max": 1.0,
            # no timeframe farther out; 0: off [0 to 50 average true ranges]
            "stretch_max": 0.0,
            # fuzzy score at least; 0: off [0 to 1 score]
            "score_min": 0.0,
            # fuzzy confidence at least; 0: off [0 to 1 share]
            "confidence_min": 0.0,
            # regimes in which nothing is opened [unknown | range | high_vol | trend_up | trend_down | crash]
            "avoid_regimes": "none",
            # IV rank or percentile at least; 0: off [0 to 100 per cent]
            "iv_rank_min": 0.0,
            # and at most; 100: off [0 to 100 per cent]
            "iv_rank_max": 100.0,
            # VIX at least; 0: off [0 to 200 points]
            "vix_min": 0.0,
            # VIX at most; 200: off [0 to 200 points]
            "vix_max": 200.0,
            # term structure at most; 0: off [0 to 3 VIX/VIX3M]
            "term_max": 0.0,
            # at most; 0: off [0 to 10 realised/implied]
            "vol_ratio_max": 0.0,
            # at least; 0: off [0 to 100 RSI]
            "rsi_min": 0.0,
            # at most; 100: off [0 to 100 RSI]
            "rsi_max": 100.0,
            # at most; 100: off [0 to 100 ADX]
            "adx_max": 100.0,
            # at least; 0: off [0 to 100 %K]
            "stoch_min": 0.0,
            # at most; 100: off [0 to 100 %K]
            "stoch_max": 100.0,
            # volume at least; 0: off [0 to 10 x mean]
            "volume_min": 0.0,
            # distance from the mean at most; 0: off [0 to 0.5 share]
            "sma_distance_max": 0.0,
            # events near which nothing is opened [fomc | cpi | exdiv]
            "avoid_events": "none",
            # so long before an event, its own day included [0 to 10 sessions]
            "event_days": 0,
            # widest quote of a short; 0: off [0 to 5 share of mid]
            "max_leg_spread": 0.0,
            # smallest size shown on a leg; 0: off [0 to 100000 contracts]
            "min_size": 0,
            # open interest of each leg; 0: off [0 to 1e+06 contracts]
            "min_interest": 0,
            # volume of each leg today; 0: off [0 to 1e+06 contracts]
            "min_volume": 0,
            # that a short is reached; 1: off [0.01 to 1 probability]
            "max_breach": 1.0,
            # breach probability by the constant-volatility formula (labelled an approximation), or by local volatility [approximation | local_vol]
            "breach_model": "approximation",
        },
        "size": {
            # most contracts per structure [1 to 10000 contracts]
            "contracts": 1,
            # max loss of one structure at entry [0.0001 to 1 share of equity]
            "max_risk_frac": 0.05,
            # how much the fuzzy score scales the budget; 0: off [0 to 1 share]
            "fuzzy_scale": 0.0,
            # in regime high_vol [0 to 1 x budget]
            "high_vol_factor": 1.0,
            # in regimes trend_up and trend_down [0 to 1 x budget]
            "trend_factor": 1.0,
            # in regime crash [0 to 1 x budget]
            "crash_factor": 1.0,
            # realised volatility up to which size is whole [0 to 2 per year]
            "vol_low": 0.1,
            # from which it is vol_floor [0.01 to 3 per year]
            "vol_high": 0.35,
            # size at high realised volatility; 1: off [0 to 1 x budget]
            "vol_floor": 1.0,
            # size falls with realised volatility above; 0: off [0 to 2 per year]
            "vol_target": 0.0,
            # share of Kelly's bet on closed trades; 0: off [0 to 1 x Kelly]
            "kelly_frac": 0.0,
            # Kelly says nothing before [2 to 1000 closed trades]
            "kelly_min_trades": 20,
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
            # target and stop of the structure, or of each side alone [whole | side]
            "scope": "whole",
            # kept, arms a trailing stop; 0: off [0 to 1 share of credit]
            "trail_from": 0.0,
            # given back, closes [0.01 to 1 share of credit]
            "trail_giveback": 0.25,
            # stop_multiple moves with the ATR or IV at entry [none | atr | vol]
            "stop_scale": "none",
            # by so much down in calm, up in wild markets [0 to 5 x credit]
            "stop_scale_range": 0.5,
            # of a breach that closes, daily; 1: off [0.01 to 1 probability]
            "exit_breach": 1.0,
            # regimes that close everything [unknown | range | high_vol | trend_up | trend_down | crash]
            "leave_regimes": "none",
            # a short at or below is bought back; 0: off [0 to 1 $/share]
            "cheap_short": 0.0,
        },
        "manage": {
            # what happens when the spot comes near a short strike [none | close_all | close_side | close_short | roll_untested]
            "tested_action": "none",
            # how near; 0: at the strike [0 to 0.2 share of spot]
            "tested_distance": 0.0,
            # new short of a rolled side [0.01 to 0.6 absolute delta]
            "roll_delta": 0.16,
            # a roll pays at least [0.01 to 100 $/share]
            "roll_min_credit": 0.1,
            # no roll nearer to expiry [0 to 365 calendar days]
            "roll_min_dte": 21,
            # of sides, per structure [0 to 20 rolls]
            "max_rolls": 1,
            # close and open again in a later expiry [never | exit_dte | tested]
            "roll_out": "never",
            # new credit less what the close cost [0 to 100 $/share]
            "roll_out_min_credit": 0.0,
            # per campaign [1 to 20 rolls]
            "max_rolls_out": 1,
        },
        "hedge": {
            # net delta that is hedged in shares; 0: off [0 to 1e+06 shares]
            "delta_band": 0.0,
            # between two looks at the net delta [5 to 390 minutes]
            "minutes": 30,
            # exposure that the report marks [0 to 10 share of credit]
            "vanna_volga_budget": 0.1,
            # vanna and volga above the budget: marked in the report, or hedged with three liquid options [report | trade]
            "smile": "report",
        },
    },
    "risk": {
        # whose margin an entry must fit: worst payoff by expiry, wider side, equal wings or two spreads, or scenarios [none | alpaca | reg_t | ibkr | portfolio]
        "margin": "alpaca",
        # of the cash that margin may bind [0.01 to 1 share]
        "buying_power": 1.0,
        # most absolute delta of one entry; 0: off, as all caps [0 to 1e+06 shares]
        "trade_delta": 0.0,
        # most absolute gamma of one entry [0 to 1e+06 shares per $]
        "trade_gamma": 0.0,
        # most absolute vega of one entry [0 to 1e+07 $ per point]
        "trade_vega": 0.0,
        # most absolute theta of one entry [0 to 1e+07 $ per day]
        "trade_theta": 0.0,
        # most that one entry may lose [0 to 1e+09 $]
        "trade_loss": 0.0,
        # most absolute delta of the book after an entry [0 to 1e+06 shares]
        "book_delta": 0.0,
        # most absolute gamma of the book after an entry [0 to 1e+06 shares per $]
        "book_gamma": 0.0,
        # most absolute vega of the book after an entry [0 to 1e+07 $ per point]
        "book_vega": 0.0,
        # most absolute theta of the book after an entry [0 to 1e+07 $ per day]
        "book_theta": 0.0,
        # most that all structures may lose together [0 to 1e+09 $]
        "book_loss": 0.0,
        # most structures times contracts open [0 to 100000 contracts]
        "book_contracts": 0,
        # most that structures of one expiry may lose [0 to 1 share of equity]
        "expiry_loss": 0.0,
        # most that the book may lose at once at the worst of spot -5, -10 and +5 % [0 to 1 share of equity]
        "shock_loss": 0.0,
        # rise of volatility for each per cent the spot falls [0 to 1 share per %]
        "shock_vol": 0.05,
        # loss of a session that halts it; 0: off [0 to 1 share of equity]
        "daily_loss": 0.0,
        # drawdown that halts trading; 0: off [0 to 1 share of the peak]
        "drawdown": 0.0,
        # after which it goes on from there; 0: it ends [0 to 3650 calendar days]
        "drawdown_rest": 0,
        # what a halt stops: entries alone, or it closes everything [entries | close_all]
        "halt": "entries",
        # so many losses in a row make a pause; 0: off [0 to 100 trades]
        "losses_in_row": 0,
        # of that pause [1 to 365 calendar days]
        "losses_rest": 5,
        # the kill switch is thrown at this session's first bar [New York date]
        "kill_from": None,
    },
    "assignment": {
        # whether holders exercise shorts early where that pays them [rational | none]
        "early": "rational",
        # of the contracts that such an evening assigns, rounded up [0.01 to 1 share]
        "share": 1.0,
        # a short so near its strike at expiry is assigned anyway [0 to 20 $]
        "pin_band": 0.0,
        # fault: from 15:30 on the expiry's day the broker buys back a short that is in the money or within 1 % [none | short_leg]
        "broker_liquidation": "none",
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
    "live": {
        # option quotes; opra needs Alpaca's agreement [indicative | opra]
        "option_feed": "indicative",
        # bars and quotes of SPY [iex | sip]
        "stock_feed": "iex",
        # of past bars that the signals are warmed up with [1 to 600 sessions]
        "warmup_sessions": 60,
        # after a bar's close until its chain is asked for [0 to 240 seconds]
        "bar_delay": 5,
        # between two looks at working orders [1 to 120 seconds]
        "poll": 5,
        # of a limit from mid to natural [1 to 50 steps]
        "walk_steps": 4,
        # between two steps [2 to 600 seconds]
        "walk_every": 30,
        # when its price is reached, or resting at the broker all day [sent | rests]
        "profit_order": "sent",
        # an older option quote opens nothing and triggers no price exit [5 to 3600 seconds]
        "quote_age": 60,
        # after a bar's close, when it is waited for no longer [10 to 3600 seconds]
        "bar_age": 120,
        # of the chain that must be usable for a bar to decide [0 to 1 share]
        "least_quoted": 0.5,
        # between our clock and the broker's that halts entries [0.1 to 60 seconds]
        "clock_skew": 5.0,
        # for one answer of the broker [0.2 to 120 seconds]
        "timeout": 10.0,
        # in which an order of unknown fate is looked up again [1 to 600 seconds]
        "lookup_wait": 30,
        # most sent in a day; closes may go on [1 to 100000 orders]
        "orders_a_day": 200,
        # most opening orders filled in a day [1 to 1000 orders]
        "entries_a_day": 10,
        # refused one after another, latch a halt [1 to 100 orders]
        "rejects_in_row": 3,
        # largest loss of all that is open or working; 0: off [0 to 1e+09 $]
        "most_risk": 0.0,
        # loss of the broker's equity in a day that latches a halt; 0: off [0 to 1 share]
        "equity_loss": 0.0,
        # without a heartbeat, when the watchdog cancels entries [10 to 3600 seconds]
        "dead_after": 60,
        # where notifications go; command and URL: see the README [log | command | webhook]
        "notify": "log",
    },
}
