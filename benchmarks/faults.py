"""Faults and kills without end: how many edits are lost, and how many records hold wrong bytes.

    python benchmarks/faults.py [--faults 10000] [--kills 300] [--seed 0]

A round is a session of edits on a disk that fails at one write, sync or rename in ten (or five, or three), a job (a
run, an edit, an import ...) with such a disk, or a job that is killed (`SIGKILL`) at a write of its own or at a moment
from outside. After each the work is gone on with on a sound disk, and the record compared with the undisturbed one
(`tests/fault_rounds.py`). One line of JSON a round and one at the end; it ends with 1 where anything was lost or wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from failing_disk import FailingDisk, one_in
from fault_rounds import JOBS, QUICK_HANDS, Content, Session, check_again, disturbed, make_templates, outcome
from killed import check_killed, in_child, kill, undisturbed

_STEPS = 60
"""Things that a person does in a session."""
_CHANCES = (10, 5, 3)
_SLOW = ("measure", "run", "recut")
"""Jobs of seconds: one round in ten of those with jobs is one of them."""


def pick_job(rng: np.random.Generator) -> str:
    """The name of a job; slow ones more rarely."""
    quick = [name for name in JOBS if name not in _SLOW]
    return str(rng.choice(_SLOW if rng.random() < 0.1 else quick))


def session_round(templates: Path, folder: Path, number: int) -> dict[str, Any]:
    """A session on a failing disk."""
    chance = _CHANCES[number % len(_CHANCES)]
    if number % 4:
        session, steps = Session(templates, folder / "session", number, chance), _STEPS
    else:
        session, steps = Session(templates, folder / "session", number, chance, QUICK_HANDS), 5 * _STEPS
    disk = session.run(steps)
    return {"round": "session", "faults": disk.faults, "edits": len(session.told), **disk.failed}


def job_round(templates: Path, folder: Path, number: int, known: dict[str, Content]) -> dict[str, Any]:
    """A job on a failing disk."""
    rng = np.random.default_rng(number)
    name = pick_job(rng)
    if name not in known:
        known[name] = outcome(templates, folder / "sound", JOBS[name])
    disk = FailingDisk(folder / "job", one_in(int(rng.choice(_CHANCES)) * 3, rng))
    said = disturbed(templates, folder / "job", JOBS[name], disk)
    check_again(folder / "job", JOBS[name], known[name])
    return {"round": name, "faults": disk.faults, "said": said[:60], **disk.failed}


Timed = tuple[Content, int, float]


def kill_round(templates: Path, folder: Path, number: int, known: dict[str, Timed]) -> dict[str, Any]:
    """A job that is killed, at one of its operations or from outside."""
    rng = np.random.default_rng(number)
    name = pick_job(rng)
    if name not in known:
        known[name] = in_child(undisturbed, templates, folder / "sound", name)
    expected, operations, seconds = known[name]
    if number % 2:
        moment: dict[str, Any] = {"operation": int(rng.integers(operations))}
    else:
        moment = {"seconds": float(rng.uniform(0.02, seconds + 0.1))}
    killed = kill(templates, folder / "killed", name, **moment)
    in_child(check_killed, folder / "killed", name, expected)
    return {"round": name, "kills": int(killed), **moment}


def main() -> int:
    """Rounds until so many faults and kills are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--faults", 10_000), ("--kills", 300), ("--seed", 0), ("--seconds", 0)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    total: Counter[str] = Counter({"faults": 0, "kills": 0, "lost": 0, "wrong": 0})
    started, number = time.monotonic(), asked.seed
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_templates(folder / "templates")
        sound: dict[str, Content] = {}
        timed: dict[str, Timed] = {}
        while total["kills"] < asked.kills or total["faults"] < asked.faults:
            number += 1
            try:
                if total["kills"] < asked.kills:
                    line = kill_round(folder / "templates", folder, number, timed)
                elif number % 6:
                    line = session_round(folder / "templates", folder, number)
                else:
                    line = job_round(folder / "templates", folder, number, sound)
            except AssertionError as error:
                line = {"error": str(error)[:500], "lost" if "told" in str(error) else "wrong": 1}
            total.update({name: value for name, value in line.items() if isinstance(value, int) and name in _COUNTED})
            total["rounds"] += 1
            tell({"number": number, **line})
            if asked.seconds and time.monotonic() - started > asked.seconds:
                break
    tell({"sum": dict(total), "seconds": round(time.monotonic() - started)})
    return int(bool(total["lost"] or total["wrong"]))


_COUNTED = ("faults", "kills", "lost", "wrong", "edits", "write", "sync", "rename", "folder")


def tell(line: dict[str, Any]) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
