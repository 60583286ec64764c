"""What the dock *SAM 2* asks of its worker: models, the photograph, windows, masks.

One decision: everything that can take longer than a turn of the event loop is a function here, and runs on a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_mosaic.dependencies import needed_for
from napari_mosaic.engine.sam.clicks import open_clicks
from napari_mosaic.image import MosaicImage
from napari_mosaic.record import Plan, Record
from napari_mosaic.sam.clicks import Clicks, ClickSession, Suggestion
from napari_mosaic.sam.params import SamParams
from napari_mosaic.widgets._session import JournalFacts, journal_facts


@dataclass(frozen=True)
class Ground:
    """A record that clicks fall on: its plan, its photograph, how its journal stands, why it cannot be edited."""

    plan: Plan
    image: MosaicImage
    journal: JournalFacts
    refusal: str


def open_ground(record: Record) -> Ground:
    """What clicks need of a record; its photograph is the caller's to close."""
    refusal = "" if record.writable else "Here this record can only be looked at: masks can be seen, not accepted."
    return Ground(record.plan, record.open_source(), journal_facts(record), refusal)


def load_model(name: str) -> Any:
    """The network of a model, by name or file."""
    with needed_for("SAM 2", extra="sam2"):
        from napari_mosaic.sam.network import load_sam

    return load_sam(name)


def begin(ground: Ground, network: Any) -> ClickSession:
    """Clicks with a network on a record."""
    return open_clicks(ground.plan, ground.image, network, SamParams())


@dataclass(frozen=True)
class Answered:
    """What SAM 2 made of some clicks."""

    clicks: Clicks
    suggestion: Suggestion | None


def ask(session: ClickSession, clicks: Clicks, before: Suggestion | None) -> Answered:
    """The mask for some clicks."""
    return Answered(clicks, session.suggest(clicks, before))
