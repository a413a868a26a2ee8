"""Numerics on stars and light curves."""
