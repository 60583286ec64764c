"""A quick start: compiled networks and loops are kept, safely, and what a run does not need is not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_mosaic import compiled as compiled_module
from napari_mosaic import model_cache
from napari_mosaic.compiled import compiled
from napari_mosaic.model_cache import ENDING, FOLDER, MOST, compile_cached

pytest.importorskip("openvino")
WINDOW = np.random.default_rng(1).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
LATE = ("dask", "httpx", "scipy.spatial", "torch", "openvino", "matplotlib", "pandas", "rasterio", "pyogrio", "cv2")
"""What `segment` may need later or never, and does not import before it starts."""


class CountedCore:
    """OpenVINO's core, which counts what it compiles and what it takes from the cache."""

    def __init__(self, core: Any, counts: dict[str, int]) -> None:
        self._core, self._counts = core, counts

    def compile_model(self, *words: Any) -> Any:
        self._counts["compiled"] += 1
        return self._core.compile_model(*words)

    def import_model(self, *words: Any) -> Any:
        self._counts["imported"] += 1
        return self._core.import_model(*words)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    found = {"compiled": 0, "imported": 0}
    core, version = model_cache.load_core()
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(model_cache, "load_core", lambda: (CountedCore(core, found), version))
    return found


def start(content: str | None = "one network", **options: Any) -> bytes:
    """Make a small network ready, as a start of the program does; what it answers."""
    model = network()
    made = compile_cached(model, {"INFERENCE_PRECISION_HINT": "f32"} | options, content)
    request = made.create_infer_request()
    request.infer({0: WINDOW})
    return np.array(request.get_output_tensor(0).data).tobytes()


def network() -> Any:
    import openvino.opset13 as ops
    from openvino import Model, Type

    pixels = ops.parameter([-1, -1, -1, 3], Type.u8)
    values = ops.convert(pixels, "f32")
    return Model([ops.multiply(values, ops.constant(np.float32(0.5)))], [pixels])


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / FOLDER).glob("*"))


def test_the_second_start_compiles_nothing_and_answers_the_same(counts: dict[str, int], tmp_path: Path) -> None:
    first, second = start(), start()
    assert first == second
    assert counts == {"compiled": 1, "imported": 1}
    assert [path.suffix for path in kept(tmp_path)] == [ENDING]


def test_another_network_other_options_and_another_openvino_are_compiled_anew(
    counts: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    start("another network")
    start(NUM_STREAMS=2)
    core, _ = model_cache.load_core()
    monkeypatch.setattr(model_cache, "load_core", lambda: (core, "9999.0"))
    start()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    start()
    assert counts == {"compiled": 5, "imported": 0}
    start(None)
    start(None)
    assert counts == {"compiled": 7, "imported": 0}


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "of another make"])
def test_a_damaged_cache_costs_one_compilation(counts: dict[str, int], tmp_path: Path, damage: str) -> None:
    first = start()
    (path,) = kept(tmp_path)
    content = path.read_bytes()
    other = b"no network at all"
    damaged = {
        "cut": content[:-100],
        "changed": content[:200] + bytes([content[200] ^ 1]) + content[201:],
        "empty": b"",
        "of another make": model_cache.hashlib.sha256(other).digest() + other,
    }
    path.write_bytes(damaged[damage])
    assert start() == first
    assert start() == first
    assert counts["compiled"] == 2, "once for the damage; then it is whole again"


def test_a_cache_that_cannot_be_written_is_done_without(
    counts: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert start() == start()
    assert counts == {"compiled": 2, "imported": 0}
    (tmp_path / "cache").unlink()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert start() == start()
    assert kept(tmp_path) == [], "no part is left behind"


def test_only_the_networks_used_last_are_kept(counts: dict[str, int], tmp_path: Path) -> None:
    for number in range(MOST):
        start(f"network {number}")
        for age, path in enumerate(sorted(kept(tmp_path), key=lambda path: path.stat().st_mtime)):
            os.utime(path, (1000 + age, 1000 + age))
    start("network 0")
    start("one more")
    assert len(kept(tmp_path)) == MOST
    before = counts["compiled"]
    start("network 0")
    assert counts["compiled"] == before, "it was used, so the next oldest went"
    start("network 1")
    assert counts["compiled"] == before + 1


def test_loops_are_compiled_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = compiled_module.numba.njit

    def njit(*, cache: bool = False, **options: Any) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(compiled_module, "numba", SimpleNamespace(njit=njit))

    @compiled
    def twice(number: int) -> int:
        return 2 * number

    assert asked == [True, False]
    assert twice(21) == 42


def test_the_command_segment_is_there_before_what_it_may_not_need() -> None:
    script = f"import napari_mosaic.cli.segmenting, sys; print([name for name in {LATE!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_with_its_preview_never_loads_pandas(tmp_path: Path) -> None:
    words = ["segment", "sample:brick", "-o", str(tmp_path / "a.mosaic.zarr"), "--method", "gradient-watershed"]
    words += ["--preview", str(tmp_path / "a.png")]
    script = f"import sys; from napari_mosaic.cli import main; print(main({words!r}), 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def test_columns_go_to_a_table_and_back(tmp_path: Path) -> None:
    from napari_mosaic.record import tables

    rows = {field.name: np.arange(5).astype(field.type.to_pandas_dtype()) for field in tables.SCHEMA}
    tables.write_part(tmp_path, (0, 0), {name: values.astype(np.int64) for name, values in rows.items()})
    table = tables.read_parts(tmp_path)
    assert table.schema == tables.SCHEMA
    for name, values in tables.columns_of(table.slice(2)).items():
        np.testing.assert_array_equal(values, rows[name][2:])
        assert values.dtype == rows[name].dtype
    assert tables.columns_of(tables.SCHEMA.empty_table())["id"].dtype == np.uint64


def test_mirrored_pixels_are_those_that_the_places_name() -> None:
    from napari_mosaic.engine.resample import mirror, read_mirrored
    from napari_mosaic.image import open_image
    from napari_mosaic.tiling import Box

    pixels = np.random.default_rng(2).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    with open_image(pixels) as image:
        for box in (Box(-7, -60, 52, 130), Box(5, 6, 30, 40), Box(-3, 10, 20, 49)):
            rows, columns = mirror(np.arange(box.y0, box.y1), 40), mirror(np.arange(box.x0, box.x1), 50)
            read = read_mirrored(image, box, 0)
            assert np.array_equal(read, pixels[rows][:, columns])
            assert read.flags.c_contiguous


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heaps")
def test_threads_of_the_command_line_share_two_heaps() -> None:
    """Each heap of a thread is an own mapping of 64 MB that its arrays leave behind."""
    script = """
import sys, threading
from napari_mosaic.memory import use_few_arenas
if sys.argv[1] == "few":
    use_few_arenas()
def work():
    kept.append([bytearray(200_000) for _ in range(100)])
    ready.wait()
kept, ready = [], threading.Barrier(9)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
sizes = [line.split()[0].split("-") for line in open("/proc/self/maps")]
print(sum(int(a, 16) % (1 << 26) == 0 for a, b in sizes))
"""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", script]
    few, many = (
        int(subprocess.run([*command, how], env=environment, capture_output=True, text=True, check=True).stdout)
        for how in ("few", "many")
    )
    assert few < many
