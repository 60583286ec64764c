"""Forms of the panel: what a person does is told, what nobody touches stays as exactly as it was given."""

from __future__ import annotations

from typing import Any

from napari_mosaic.widgets._facts import SizeFacts, Tuning
from napari_mosaic.widgets._forms import AreaForm, AreaValue, LookForm, LookValue, SizeForm, TuningForm


def test_a_size_that_a_person_types_is_that_persons_word(qtbot: Any) -> None:
    form = SizeForm()
    qtbot.addWidget(form)
    given = SizeFacts(pixel_mm=0.123456789, confirmed=False, origin="dpi")
    form.set_value(given)
    assert form.value() == given  # the field shows four decimals
    with qtbot.waitSignal(form.changed):
        form.confirm.click()
    assert form.value() == SizeFacts(pixel_mm=0.123456789, confirmed=True, origin="dpi")
    with qtbot.waitSignal(form.changed):
        form.fields["pixel_mm"].value = 0.5
    assert form.value() == SizeFacts(pixel_mm=0.5, confirmed=True, origin="user")
    form.fields["pixel_mm"].value = 0
    assert form.value() == SizeFacts()
    form.fields["analysis_px"].value = 4
    assert form.value().analysis_px is None
    form.fields["analysis_px"].value = 20
    assert form.value().analysis_px == 20


def test_layers_to_work_in_come_and_go(qtbot: Any) -> None:
    form = AreaForm()
    qtbot.addWidget(form)
    told: list[int] = []
    form.changed.connect(lambda: told.append(1))
    form.set_choices(["nave", "apse"])
    assert form.value() == AreaValue()
    form.set_value(AreaValue("nave", "apse"))
    form.set_choices(["nave"])
    assert form.value() == AreaValue("nave", "")
    assert not told
    form.fields["include"].value = ""
    assert form.value() == AreaValue()
    assert told == [1]


def test_sliders_keep_what_they_cannot_show(qtbot: Any) -> None:
    form = TuningForm()
    qtbot.addWidget(form)
    found = Tuning(threshold=0.4321, min_area=700, core_threshold=0.3)
    form.set_value(found)
    assert form.value() == found
    form.fields["smallest"].value = 90
    assert form.value() == Tuning(threshold=0.4321, min_area=90, core_threshold=0.3)
    with qtbot.waitSignal(form.settled):
        form.fields["sensitivity"].value = 65
    assert form.value() == Tuning(threshold=0.35, min_area=90)


def test_ways_to_look_stand_in_one_row(qtbot: Any) -> None:
    form = LookForm()
    qtbot.addWidget(form)
    seen = [field.native for field in form.fields.values() if not field.native.isHidden()]
    assert [box.text() for box in seen] == ["Joints", "Tesserae", "As outlines"]
    form.show_masks(shown=True)
    assert form.fields["masks"].native.text() == "SAM 2"
    assert not form.fields["masks"].native.isHidden()
    form.fields["outlines"].native.click()
    assert form.value() == LookValue(outlines=True)
