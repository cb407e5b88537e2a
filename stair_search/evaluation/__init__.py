"""How good a model is, in figures that the field knows."""
