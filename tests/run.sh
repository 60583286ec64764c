#!/usr/bin/env bash
# Set up everything in .venv, and the light package alone in .venv-light; run the checks and the tests in both. The light
# ones run while the rest is installed and checked, and are told first, so that the last words are those of the whole.
# They take longer than that: the tests of the docks, one process that takes longest of all, begin beside the last of them.
# On a fresh Debian with Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v xvfb-run >/dev/null; then
  apt-get update -q
  apt-get install -y -q xvfb libgl1 libegl1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
    libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0
fi
light_log=$(mktemp) docks_log=$(mktemp) rest_log=$(mktemp) docks= rest=
bash tests/light.sh >"$light_log" 2>&1 &
light=$!
trap 'kill $light $docks $rest 2>/dev/null || true; rm -f "$light_log" "$docks_log" "$rest_log"' EXIT
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --upgrade pip
# torch and torchvision come together, from the registry: a torch of another make and its torchvision do not fit.
.venv/bin/python -m pip install -q -e ".[test]"
# sam2 asks for torch to be built; in isolation that would be a second torch of 6 GB. Nothing of it is compiled.
.venv/bin/python -m pip install -q "setuptools>=70.1"
SAM2_BUILD_CUDA=0 .venv/bin/python -m pip install -q --no-build-isolation "sam2>=1.1"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/lint-imports
.venv/bin/mypy
.venv/bin/npe2 validate napari-mosaic
NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build -q --strict
# Tests that load Qt and napari have a process of their own: beside torch and OpenVINO a process of many tests died three
# times when it came to them, by a segmentation fault that was not found. All others run on all cores beside them, and are
# told last; what fails there, or dies with its process, is run once more alone, and that counts. They are parted by
# worksteal: of what a process that died had left, the others do all (by loadfile pytest-xdist waits for ever and leaves
# the rest of the file undone). There is an end all the same, 20 minutes, half as long again as it takes. pytest ends with
# 5 where it is asked for none of a kind.
run() { $limit xvfb-run -a -n "$screen" -s "-screen 0 1600x1000x24" .venv/bin/python -m pytest --durations 20 "$@" || [ $? -eq 5 ]; }
others=(--ignore tests/gui --ignore-glob "*/test_widgets_*.py" "$@")
screen=100 limit="" run tests/gui tests/test_widgets_*.py "$@" -o cache_dir=.pytest_cache/widgets >"$docks_log" 2>&1 &
docks=$!
light_failed=0
wait $light || light_failed=$?
cat "$light_log"
[ $light_failed -eq 0 ] || exit $light_failed
screen=150 limit="timeout --signal INT --kill-after 60 1200" run -n auto --dist worksteal "${others[@]}" >"$rest_log" 2>&1 &
rest=$!
tail -n +1 -f --pid=$docks "$docks_log"
failed=0
wait $docks || failed=1
others_failed=0
wait $rest || others_failed=1
cat "$rest_log"
[ $others_failed -eq 0 ] || screen=100 limit="" run --last-failed "${others[@]}" || failed=1
exit $failed
