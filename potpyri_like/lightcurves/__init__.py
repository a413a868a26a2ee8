"""What light curves say: noise at all time scales, baselines, transits, periods, lags."""
