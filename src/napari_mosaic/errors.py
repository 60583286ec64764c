"""The kinds of error that a user can cause or meet.

One decision: every kind is also the builtin that it stands for, so that scripts may catch either,
and none is a `RuntimeError`, which generator workers in Qt swallow and torch uses for lack of memory.
A message says what was wrong with its value, why it matters and what to do, in one sentence.
"""

from __future__ import annotations


class MosaicError(Exception):
    """Anything that ends with one clear sentence instead of a traceback."""


class MosaicWarning(UserWarning):
    """What a person should know of though the work goes on: one sentence."""


class InputError(MosaicError, ValueError):
    """A parameter or an array that cannot be used."""


class MissingError(MosaicError, FileNotFoundError):
    """A file, folder or URL that is not there."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ReadError(MosaicError, OSError):
    """A source that exists but cannot be read."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class WriteError(MosaicError, OSError):
    """A place that cannot be written: read-only, full or taken."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RecordError(MosaicError, ValueError):
    """A folder that is no record, or not the record that was meant."""


class LockedError(RecordError):
    """A record, or a folder of a run, that another process is writing to."""


class ModelError(MosaicError, ValueError):
    """A model file that is no model, or not one that fits."""


class UnfitError(ModelError):
    """A model that this processor cannot compute as it was asked for: its trial failed here."""


class ClusterError(MosaicError, ConnectionError):
    """A cluster that is not reached, or was lost while it worked."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DependencyError(MosaicError, ImportError):
    """An optional package that is not installed."""
