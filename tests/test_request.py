"""What is asked for stands once: the rules in `TesseraParams`, the fields of a job in `RunRequest`."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import get_type_hints

import pytest

from napari_mosaic import SegmentParams, TesseraParams
from napari_mosaic.cli.options import parameters_of
from napari_mosaic.errors import InputError
from napari_mosaic.request import RULES, RunOptions, RunRequest, request_of
from napari_mosaic.tiling import Box


def test_the_rules_can_be_given_replaced_and_read_by_their_own_names() -> None:
    params = SegmentParams(threshold=0.4, min_area=7)
    assert params.tesserae == TesseraParams(threshold=0.4, min_area=7)
    assert (params.threshold, params.min_area, params.reach) == (0.4, 7, TesseraParams.reach)
    assert replace(params, reach=20).tesserae == TesseraParams(threshold=0.4, min_area=7, reach=20)
    held = SegmentParams(tesserae=TesseraParams(blob_limit=60, reach=20), min_area=7)
    assert held.tesserae == TesseraParams(blob_limit=60, reach=20, min_area=7)
    assert pickle.loads(pickle.dumps(held)) == held
    assert {name: getattr(SegmentParams, name) for name in RULES} == {n: getattr(TesseraParams, n) for n in RULES}
    with pytest.raises(InputError, match=r"min_area is 900, outside of 0 to 400"):
        SegmentParams(min_area=900)
    with pytest.raises(TypeError, match="treshold"):
        SegmentParams(treshold=0.4)  # type: ignore[call-arg]


def test_of_two_temperatures_the_one_of_the_request_counts() -> None:
    told = SegmentParams(temperature=1.5)
    assert told.tesserae.temperature == 1.5
    assert SegmentParams(tesserae=TesseraParams(temperature=1.5)) == told
    assert replace(told, temperature="auto") == SegmentParams()


def test_an_option_stands_once() -> None:
    names = [name for name, *_ in parameters_of(SegmentParams)]
    assert len(names) == len(set(names))
    assert set(RULES) < set(names)
    own, rules = ({field.name for field in fields(kind)} for kind in (SegmentParams, TesseraParams))
    assert own & rules == {"temperature"}  # of which the request knows one more value


def test_what_is_taken_by_name_is_what_a_job_holds() -> None:
    held, taken = get_type_hints(RunRequest), get_type_hints(RunOptions)
    assert set(held) == {*taken, "output"}
    assert {name for name in taken if taken[name] != held[name]} == {"only"}
    assert request_of("a", {"only": (1, 2, 3, 4), "resume": True}) == RunRequest(
        output="a", only=Box(1, 2, 3, 4), resume=True
    )
