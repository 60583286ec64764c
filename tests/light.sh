#!/usr/bin/env bash
# The package as `pip install .` brings it, without torch, napari and what else comes by extras: its core tests, those
# of the files that tests/environments.py names. `tox -e light` is the same.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=.venv-light/bin/python
[ -x "$PYTHON" ] || python3 -m venv .venv-light
"$PYTHON" -m pip install -q --upgrade pip
"$PYTHON" -m pip install -q -e . hypothesis pytest pytest-timeout
if "$PYTHON" -c "import torch" 2>/dev/null; then
  echo "There is a torch in the light environment, so it proves nothing; delete it and begin again." >&2
  exit 1
fi
exec "$PYTHON" -m pytest -q --core -m "not gui and not torch" "$@"
