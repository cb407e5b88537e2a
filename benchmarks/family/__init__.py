"""STAIR against its rivals: the same photos, captions, frozen towers and steps; several seeds."""
