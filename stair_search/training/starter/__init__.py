"""How the weights of the starter model are made: frozen towers, dense teachers, a static table."""
