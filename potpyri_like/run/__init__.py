"""Run recipes: pipeline, runner, journal, workers, record."""
