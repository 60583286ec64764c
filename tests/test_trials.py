"""What a processor cannot compute is found in a child, not used, said once and remembered."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("openvino")

from bright import bright_stones
from napari_mosaic import inference, runtimes, trials
from napari_mosaic.engine import planning, segmenters
from napari_mosaic.errors import ModelError, MosaicWarning, ReadError, RecordError, UnfitError
from napari_mosaic.estimating import estimate_run
from napari_mosaic.framing import SHAPES
from napari_mosaic.inference import load_network
from napari_mosaic.record import open_record
from napari_mosaic.request import SegmentParams
from napari_mosaic.runtimes import NO_AMX, openvino_limits, settle_instructions
from napari_mosaic.segmentation import segment
from napari_mosaic.trials import Case, Verdict, judge, moved_joints, spread
from napari_mosaic.weights import DATA, find_weights

EIGHT_BITS = DATA / "grout-lite.int8.safetensors"
CASE = Case(model="m", precision="int8")
HOOK = """
import os, signal, sys
if "napari_mosaic.trials" in sys.orig_argv:
    from napari_mosaic import runtimes
    real = runtimes.OpenVinoRun.__call__
    made = runtimes.OpenVinoRun.__init__

    def make(self, model, **how):
        made(self, model, **how)
        self.kind = how["precision"], how["limit"]

    def die(self, windows):
        if windows.shape[1:3] == (640, 320) and {condition}:
            open(os.environ["DEATHS"], "a").write("died\\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(self, windows)

    runtimes.OpenVinoRun.__init__, runtimes.OpenVinoRun.__call__ = make, die
"""
"""Start-up code of the child: it dies by a signal in one shape, as a wrong kernel does."""
LOAD = """
import os
from napari_mosaic import runtimes
runtimes.has_amx = lambda: False
before = dict(os.environ)
from napari_mosaic.inference import load_network
network = load_network("grout-lite", device="cpu", threads=2)
print(network.precision, network.runtime, runtimes._Process.limit, dict(os.environ) == before)
"""


@pytest.fixture(scope="module")
def stored() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    from safetensors.numpy import load_file

    tensors = load_file(EIGHT_BITS)
    return spread(tensors[trials.WINDOW]), np.unpackbits(tensors[trials.JOINTS], axis=1) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_the_table_is_computed_as_in_single_precision(
    shape: tuple[int, int], stored: tuple[NDArray[np.uint8], NDArray[np.bool_]]
) -> None:
    picture, joints = stored
    map_ = load_network("grout-lite", device="cpu", precision="int8").predict(picture[None, : shape[0], : shape[1]])[0]
    assert map_.shape == (2, *shape)
    assert moved_joints(map_, joints) < trials.MOST_MOVED


def test_the_stored_answers_are_those_of_the_weights(stored: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    pytest.importorskip("torch")
    from napari_mosaic.grout import trial_answers

    window = trials.bundled_window()
    again = np.unpackbits(trial_answers(find_weights(), window)[trials.JOINTS], axis=1) > 0
    assert (again != stored[1]).sum() < 1e-4 * stored[1].sum()
    assert 0.2 < stored[1].mean() < 0.8


def load_in_a_process(tmp_path: Path, condition: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "hook").mkdir(exist_ok=True)
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK.replace("{condition}", condition))
    places = [str(tmp_path / "hook"), *sys.path]
    env = {name: value for name, value in os.environ.items() if not name.endswith("MAX_CPU_ISA")}
    env |= {
        "PYTHONPATH": os.pathsep.join(places),
        "NAPARI_MOSAIC_CACHE": str(tmp_path / "cache"),
        "DEATHS": str(tmp_path / "deaths"),
    }
    return subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, env=env, check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to die by")
def test_a_child_that_dies_is_fallen_back_from_said_and_remembered(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    condition = "self.kind[0] == 'int8'"
    first = load_in_a_process(tmp_path, condition)
    assert first.stdout.split() == ["fp32", "openvino", "None", "True"]
    line = [line for line in first.stderr.splitlines() if "failed its trial" in line]
    assert len(line) == 1
    assert "grout-lite runs in single precision here: eight-bit integers failed its trial" in line[0]
    assert "640 x 320" in line[0]
    assert "(SIGSEGV)" in line[0]
    assert len((tmp_path / "deaths").read_text().splitlines()) == (1 if no_limit_helps() else 2)
    again = load_in_a_process(tmp_path, "open(os.environ['DEATHS'], 'a').write('tried again')")
    assert again.stdout == first.stdout
    assert "SIGSEGV" in again.stderr
    assert "tried again" not in (tmp_path / "deaths").read_text()


def no_limit_helps() -> bool:
    import platform

    return platform.machine() not in ("x86_64", "AMD64")


@pytest.mark.skipif(sys.platform == "win32" or no_limit_helps(), reason="there is no limit to set")
def test_where_the_newest_instructions_die_older_ones_are_used(tmp_path: Path) -> None:
    found = load_in_a_process(tmp_path, "self.kind == ('int8', None)")
    assert found.stdout.split() == ["int8", "openvino", NO_AMX, "True"]
    assert "grout-lite runs in eight-bit integers here: eight-bit integers failed" in found.stderr


class FakeCore:
    seen: ClassVar[list[str | None]] = []
    error: ClassVar[Exception | None] = None

    def get_property(self, *_: str) -> None:
        FakeCore.seen.append(os.environ.get("ONEDNN_MAX_CPU_ISA"))
        if FakeCore.error is not None:
            raise FakeCore.error


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which OpenVINO was not loaded yet, and whose OpenVINO only looks at the variable."""
    monkeypatch.setattr(runtimes._Process, "settled", False)
    monkeypatch.setattr(runtimes._Process, "limit", None)
    monkeypatch.setattr(runtimes, "_is_loaded", lambda: False)
    monkeypatch.setattr(runtimes.platform, "machine", lambda: "x86_64")
    for name in runtimes._LIMITS:
        monkeypatch.delenv(name, raising=False)
    module = types.ModuleType("openvino")
    module.Core = FakeCore
    FakeCore.seen, FakeCore.error = [], None
    monkeypatch.setitem(sys.modules, "openvino", module)


@pytest.mark.usefixtures("fresh")
def test_the_limit_is_in_the_environment_only_while_openvino_reads_it() -> None:
    before = dict(os.environ)
    settle_instructions(NO_AMX)
    assert FakeCore.seen == [NO_AMX]
    assert dict(os.environ) == before
    settle_instructions(NO_AMX)
    assert len(FakeCore.seen) == 1
    with pytest.raises(ModelError, match="start the program again"):
        settle_instructions(None)


@pytest.mark.usefixtures("fresh")
def test_the_limit_goes_even_when_loading_fails() -> None:
    before = dict(os.environ)
    FakeCore.error = RuntimeError("no plugin")
    with pytest.raises(RuntimeError, match="no plugin"):
        settle_instructions(NO_AMX)
    assert dict(os.environ) == before
    FakeCore.error = None
    settle_instructions(None)


@pytest.mark.usefixtures("fresh")
def test_a_limit_that_a_person_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert openvino_limits("int8") == (None,)
    settle_instructions(None)
    assert (FakeCore.seen, os.environ["ONEDNN_MAX_CPU_ISA"]) == (["AVX2"], "AVX2")


@pytest.mark.usefixtures("fresh")
def test_which_limits_there_are_to_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "has_amx", lambda: True)
    assert openvino_limits("int8") == (NO_AMX, None)
    assert openvino_limits("bf16") == openvino_limits("fp32") == (None,)
    monkeypatch.setattr(runtimes, "has_amx", lambda: False)
    assert openvino_limits("int8") == (None, NO_AMX)
    with monkeypatch.context() as context:
        context.setattr(runtimes, "_is_loaded", lambda: True)
        assert openvino_limits("int8") == (None,)
    settle_instructions(NO_AMX)
    assert openvino_limits("int8") == openvino_limits("fp32") == (NO_AMX,)
    assert openvino_limits("bf16") == ()


@pytest.mark.skipif("avx512f" not in runtimes.processor()[1], reason="the processor has nothing to leave out")
def test_openvino_keeps_to_a_limit_that_was_set_for_the_moment_of_loading() -> None:
    code = f"""
import os
import numpy as np, openvino
from napari_mosaic.runtimes import read_quantised, settle_instructions
from pathlib import Path
settle_instructions("AVX2")
assert "ONEDNN_MAX_CPU_ISA" not in os.environ
graph, constants = read_quantised(Path({str(EIGHT_BITS)!r}))
model = openvino.Core().read_model(model=graph, weights=openvino.Tensor(constants))
compiled = openvino.compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
compiled.create_infer_request().infer({{0: np.zeros((1, 320, 320, 3), np.uint8)}})
kinds = [op.get_rt_info()["primitiveType"].astype(str) for op in compiled.get_runtime_model().get_ops()]
convolutions = [kind for kind in kinds if "1x1" in kind or "conv" in kind]
print(any("avx512" in kind for kind in convolutions), any("avx2" in kind for kind in convolutions))
"""
    env = {name: value for name, value in os.environ.items() if not name.endswith("MAX_CPU_ISA")}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert found.stdout.split() == ["False", "True"]


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Verdict]:
    """Trials whose outcomes are taken from the list, last first, instead of from a child."""
    outcomes: list[Verdict] = []
    monkeypatch.setenv("NAPARI_MOSAIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NAPARI_MOSAIC_TRIAL", raising=False)
    monkeypatch.setattr(trials, "_KNOWN", {})
    monkeypatch.setattr(trials, "_tried", lambda *_: outcomes.pop())
    return outcomes


def forget_process() -> None:
    trials._KNOWN.clear()


def test_an_outcome_is_remembered_for_its_combination_alone(tries: list[Verdict]) -> None:
    tries += [Verdict(True), Verdict(False, "died", "died")]
    assert not judge(CASE, lambda _: EIGHT_BITS).fit
    forget_process()
    assert not judge(CASE, lambda _: EIGHT_BITS).fit
    assert judge(Case(model="m", precision="int8", limit=NO_AMX), lambda _: EIGHT_BITS).fit
    assert not tries


def test_a_damaged_memory_is_tried_again(tries: list[Verdict], tmp_path: Path) -> None:
    tries += [Verdict(True), Verdict(False, "died", "died"), Verdict(False, "died", "died")]
    judge(CASE, lambda _: EIGHT_BITS)
    (memory,) = (tmp_path / "cache" / "trials").glob("*.json")
    for damage in ("{", json.dumps({"key": {}, "verdict": {"fit": True}})):
        memory.write_text(damage)
        forget_process()
        judge(CASE, lambda _: EIGHT_BITS)
    assert not tries
    assert json.loads(memory.read_text())["verdict"]["fit"]


def test_where_nothing_can_be_remembered_each_process_tries(tries: list[Verdict], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    tries += [Verdict(True), Verdict(True)]
    for _ in range(2):
        assert judge(CASE, lambda _: EIGHT_BITS).fit
    assert len(tries) == 1
    forget_process()
    assert judge(CASE, lambda _: EIGHT_BITS).fit
    assert not tries


def test_what_may_be_the_moments_fault_stands_only_when_it_comes_twice(tries: list[Verdict]) -> None:
    tries += [Verdict(True), Verdict(False, "slow", "timeout"), Verdict(False, "slow", "timeout")]
    for _ in range(3):
        forget_process()
        assert not judge(CASE, lambda _: EIGHT_BITS).fit
    assert len(tries) == 1


def test_a_person_may_skip_the_trial_or_have_it_again(tries: list[Verdict], monkeypatch: pytest.MonkeyPatch) -> None:
    tries += [Verdict(True), Verdict(False, "died", "died")]
    monkeypatch.setenv("NAPARI_MOSAIC_TRIAL", "skip")
    assert judge(CASE, lambda _: EIGHT_BITS).fit
    assert len(tries) == 2
    monkeypatch.delenv("NAPARI_MOSAIC_TRIAL")
    assert not judge(CASE, lambda _: EIGHT_BITS).fit
    forget_process()
    monkeypatch.setenv("NAPARI_MOSAIC_TRIAL", "again")
    assert judge(CASE, lambda _: EIGHT_BITS).fit


def report(moved: float = 0.0, until: int = len(SHAPES)) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for number, shape in enumerate(SHAPES):
        if number <= until:
            lines.append({"begun": shape})
        if number < until:
            lines.append({"shape": shape, "moved": moved})
    return lines


@pytest.mark.parametrize(
    ("status", "lines", "kind"),
    [
        (0, report(), ""),
        (0, report(0.016), "moved"),
        (0, report(float("nan")), "moved"),
        (0, report(until=3), "failed"),
        (1, report(until=3), "failed"),
        (-11, report(until=3), "died"),
        (-11, report(), "died"),
        (-9, report(until=3), "killed"),
        (0xC0000005, [], "died"),
    ],
)
def test_a_childs_end_and_report_say_whether_a_network_is_used(
    status: int, lines: list[dict[str, Any]], kind: str
) -> None:
    verdict = trials._verdict(status, lines)
    assert (verdict.fit, verdict.kind) == (not kind, kind)
    if status == -11 and len(lines) < 2 * len(SHAPES):
        assert verdict.reason == "its process died in windows of 640 x 320 px (SIGSEGV)"


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_SECONDS", 0.01)
    assert trials._tried(CASE, lambda _: EIGHT_BITS).kind == "timeout"


def test_a_file_without_answers_is_not_used(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(EIGHT_BITS)
    save_file({name: tensors[name] for name in ("graph", "constants")}, tmp_path / "old")
    verdict = trials._tried(CASE, lambda _: tmp_path / "old")
    assert not verdict.fit
    assert "make it again with export-model" in verdict.reason


def test_what_was_asked_for_by_name_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "judge", lambda case, _: Verdict(case.precision != "int8", "it died", "died"))
    with pytest.raises(
        UnfitError, match=r"eight-bit integers( without AMX)? failed its trial on this processor \(it died\).*auto"
    ):
        load_network("grout-lite", device="cpu", precision="int8")


def test_the_last_in_line_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(inference, "judge", lambda *_: Verdict(False, "it died", "died"))
    monkeypatch.setattr(inference, "_SAID", set())
    with pytest.warns(MosaicWarning, match="grout-lite runs in single precision by torch here") as said:
        network = load_network("grout-lite", device="cpu")
    with warnings.catch_warnings(action="error"):
        load_network("grout-lite", device="cpu")
    assert (network.precision, network.runtime, len(said)) == ("fp32", "torch", 1)
    with pytest.raises(UnfitError, match=r"single precision( without AMX)? failed"):
        load_network("grout-lite", device="cpu", precision="fp32", runtime="openvino")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, ...]]:
    """The shapes of what the eight-bit network is asked to compute; it answers that there is nothing."""
    shapes: set[tuple[int, ...]] = set()

    def note(_: Any, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shapes.add(windows.shape)
        return np.zeros((len(windows), 2, *windows.shape[1:3]), np.uint8)

    monkeypatch.setattr(runtimes.OpenVinoRun, "__call__", note)
    return shapes


@pytest.mark.parametrize(
    ("shape", "method", "zoned"),
    [((300, 210), "grout", False), ((1111, 1450), "grout", True), ((500, 333), "grout-augmented", False)],
)
def test_runs_of_all_kinds_compute_shapes_of_the_table_alone(
    shape: tuple[int, int],
    method: Any,
    zoned: bool,
    asked: set[tuple[int, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if zoned:
        scales = (1.0, 2**0.5, 0.5, 2 * 2**0.5, 0.25)
        monkeypatch.setattr(planning, "zone_scales", lambda _, places: np.resize(scales, places.shape[:2]))
    params = SegmentParams(method=method, device="cpu", precision="int8")
    picture = bright_stones(shape)
    segment(picture, tmp_path / "a.mosaic.zarr", params=params).close()
    estimate_run(picture, params)
    table = {(1, *shape, 3) for shape in SHAPES}
    assert asked <= table
    assert (1, 320, 320, 3) in asked
    assert len(asked) > 1


def test_a_record_is_not_gone_on_with_in_another_precision(
    asked: set[tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, picture = tmp_path / "a.mosaic.zarr", bright_stones((300, 210))
    params = SegmentParams(device="cpu", scale=1.0)
    segment(picture, path, params=params).close()
    with open_record(path) as record:
        assert (record.plan.runtime, record.plan.precision) == ("openvino", "int8")
    segmenters.forget_network()
    monkeypatch.setattr(inference, "judge", lambda *_: Verdict(False, "it died", "died"))
    words = r"was begun in int8 by openvino, and this machine would go on with another map .*it died.*--overwrite"
    with pytest.raises(RecordError, match=words):
        segment(picture, path, params=params, resume=True)
    segmenters.forget_network()
    assert asked


def test_a_worker_is_sent_the_precision_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    method = segmenters.load_segmenter("grout-augmented", "grout-lite", device="cpu")
    kind, choices = method.__reduce__()
    assert (kind, choices[2:4]) == (type(method), ("int8", "openvino"))
    segmenters.forget_network()
    monkeypatch.setattr(inference, "judge", lambda *_: Verdict(False, "it died", "died"))
    with pytest.raises(UnfitError):
        pickle.loads(pickle.dumps(method))
    segmenters.forget_network()


def test_a_worker_that_cannot_compute_the_plan_takes_no_windows(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    from PIL import Image

    source = tmp_path / "floor.png"
    Image.fromarray(bright_stones((300, 4 * 1024))).save(source)
    params = SegmentParams(device="cpu", scale=1.0)

    def fail_the_trial() -> None:
        from napari_mosaic import inference
        from napari_mosaic.trials import Verdict

        inference.judge = lambda *_: Verdict(False, "it died", "died")

    cluster = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**cluster) as local, distributed.Client(local) as client:
        sick, _ = client.ncores()
        client.run(fail_the_trial, workers=[sick])
        with (
            pytest.warns(MosaicWarning, match=f"The worker {sick} takes no windows: grout-lite cannot be .*it died"),
            segment(source, tmp_path / "a.mosaic.zarr", params=params, client=client) as record,
        ):
            assert record.complete
        client.run(fail_the_trial)
        client.run(segmenters.forget_network)
        with (
            pytest.warns(MosaicWarning, match="takes no windows"),
            pytest.raises(ReadError, match=r"4 blocks could not be .*no worker can compute it: .*it died"),
        ):
            segment(source, tmp_path / "b.mosaic.zarr", params=params, client=client)


def test_the_command_line_says_it_in_one_line(
    asked: set[tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from napari_mosaic.cli import main

    def say(entry: Any, path: Path, threads: int | None, refused: list[str]) -> Any:
        refused.append("eight-bit integers failed its trial on this processor (it died)")
        return quantised(entry, path, threads, [])

    quantised = inference._quantised
    monkeypatch.setattr(inference, "_quantised", say)
    monkeypatch.setattr(inference, "_SAID", set())
    segmenters.forget_network()
    Image.fromarray(bright_stones((200, 210))).save(tmp_path / "a.png")
    words = ["segment", str(tmp_path / "a.png"), "--scale", "1", "--device", "cpu"]
    main(words)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "trial" in line] == [
        "napari-mosaic: grout-lite runs in eight-bit integers here: "
        "eight-bit integers failed its trial on this processor (it died)."
    ]
    assert asked
