"""One tile of SAM 2's masks: which windows it needs, what its labels are, where they go.

One decision: a tile is a function of the plan and the windows' proposals that writes whole shards and returns what it
wrote; running tiles here, in threads or on a cluster is somebody else's matter.
"""

from __future__ import annotations

from napari_mosaic.engine.local import tile_lattice
from napari_mosaic.engine.masks.plan import GUIDED
from napari_mosaic.engine.masks.windows import MaskContext, ProposalSource, Window
from napari_mosaic.record.label_layer import SAM2
from napari_mosaic.record.ledger import Index
from napari_mosaic.record.tables import rows_in
from napari_mosaic.sam.composing import Around, compose
from napari_mosaic.tiling import Box, Tile


class MaskTiles:
    """Composes and writes tiles; from any thread.

    Parameters
    ----------
    context
        What the work needs; its record is open for writing.
    """

    def __init__(self, context: MaskContext) -> None:
        self.source = ProposalSource(context)
        self._context = context
        self._layer = context.record.label_layer(SAM2)
        self._around = Around(
            proposals=self.source.meeting,
            tesserae=context.joints if context.plan.mode == GUIDED else None,
            outside=context.outside.mask,
            joints=context.grout,
            shape=context.shape,
        )

    @property
    def phase(self) -> str:
        """The phase of the record's ledger that tiles belong to."""
        return phase_of(self._context)

    def windows(self, core: Box) -> list[Window]:
        """The windows that a tile is likely to need; what else it needs is computed on the way."""
        return self.source.windows(core.grow(self._context.plan.margin))

    def write(self, core: Box) -> list[Index]:
        """Compose a tile and write its shards; their indices.

        Raises
        ------
        ReadError
            If the photograph cannot be read where the tile needs it.
        """
        record = self._context.record
        found = compose(core, self._around, self._context.plan.params)
        shards = record.plan.shards
        written = shards.overlapping(core)
        for index in written:
            box = shards.tile(index).core
            labels, rows = found.labels[box.within(core)], rows_in(found.columns, box)
            if self.phase == SAM2:
                self._layer.write_shard(index, labels, rows)
            else:
                self._layer.write_rows(index, rows)
                record.write_tesserae(index, labels, rows)
        return written


def phase_of(context: MaskContext) -> str:
    """The phase of the record's ledger that the masks of a plan belong to."""
    return "tesserae" if context.plan.into == "tesserae" else SAM2


def unfinished_tiles(
    context: MaskContext, tile_size: int, only: Box | None, focus: tuple[float, float] | None
) -> list[Tile]:
    """The tiles with shards that are not done, nearest to `focus` first."""
    plan, done = context.record.plan, context.record.ledger.done(phase_of(context))
    lattice = tile_lattice(plan.shape, plan.shard, tile_size)
    wanted = (only or Box(0, 0, *plan.shape)).clip(plan.shape)
    tiles = [lattice.tile(index) for index in lattice.overlapping(wanted)]
    tiles = [tile for tile in tiles if not done.issuperset(plan.shards.overlapping(tile.core))]
    if focus is not None:
        y, x = focus
        tiles.sort(
            key=lambda tile: ((tile.core.y0 + tile.core.y1) / 2 - y) ** 2 + ((tile.core.x0 + tile.core.x1) / 2 - x) ** 2
        )
    return tiles
