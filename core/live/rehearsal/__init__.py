"""A broker on this machine that speaks Alpaca's language: for rehearsals and tests. Trading code never imports it."""
