"""Synthetic nights and the contract suite, for plugin authors and for our own tests."""

from potpyri_like.testing.contract import CheckResult, InstrumentContract, check_instrument
from potpyri_like.testing.simulate import NightPlan, Truth, simulate_night

__all__ = ["CheckResult", "InstrumentContract", "NightPlan", "Truth", "check_instrument", "simulate_night"]
