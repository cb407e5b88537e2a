"""How the starter model is made; see `starter`. Needs the extra [train]."""
