"""What can go wrong, each kind with the exit code that the command line returns for it.

Messages name the value, the place and the remedy; they never carry a secret.
"""


class StairError(Exception):
    """Base of all errors that stair-search raises on purpose."""

    exit_code = 1


class UsageError(StairError):
    """The caller asked for something that cannot be: bad option, bad file, unknown field."""

    exit_code = 2


class DestinationError(StairError):
    """The engine or index could not be reached or used."""

    exit_code = 3


class ModelError(StairError):
    """Model and index do not fit each other, or a model cannot be loaded."""

    exit_code = 4


class TrainingError(StairError):
    """A training run cannot go on: its loss is no number, or its state cannot be saved."""

    exit_code = 1
