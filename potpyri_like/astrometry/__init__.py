"""Numerics on positions, times and sky coordinates."""
