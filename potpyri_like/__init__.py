"""From a night of raw telescope frames to calibrated light curves and images, for any instrument."""

__version__ = "0.1.0"
