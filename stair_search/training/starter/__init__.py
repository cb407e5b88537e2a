"""How the starter model is made: three recipes, names of classes, a light folder."""
