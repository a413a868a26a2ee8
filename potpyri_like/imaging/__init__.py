"""Numerics on pixels: arrays in, new arrays out; they know no file and no instrument."""
