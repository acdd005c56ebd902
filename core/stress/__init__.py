"""Stress: what would have hurt. An open book under shocks, the strategy on worse markets, and the play of chance."""
