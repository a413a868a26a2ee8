"""Stages that run against any registered instrument."""
