"""The locks of one label layer, shared by all that write to it in this process.

One decision: a lock a shard and level, and one for the tables, so that edits in one place never wait for a run in
another; whoever needs both takes the shard's first.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from napari_mosaic.record.ledger import Index


@dataclass(frozen=True)
class LayerLocks:
    """The locks of a label layer."""

    table: threading.RLock = field(default_factory=threading.RLock)
    _shards: dict[tuple[int, Index], threading.RLock] = field(default_factory=dict)

    def shard(self, level: int, index: Index) -> threading.RLock:
        """The one lock of a shard; `setdefault` is atomic, where a defaultdict may make two for two threads."""
        return self._shards.setdefault((level, index), threading.RLock())
