"""How a recipe is carried out: pipeline, runner, journal, workers, record."""
