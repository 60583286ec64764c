"""A run by GROUT's recipe that is killed (kill -9) and resumed: the same history as an undisturbed one.

    python benchmarks/resume.py --out resume --minutes 10

It trains in a process of its own through the command line, kills it at random moments, resumes it, and trains the
same steps once more without a disturbance. Prints one line of JSON; ends with 1 where the histories differ, where a
row that a checkpoint held was lost, or where the validation Dice is no better at the end than after the first round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from napari_mosaic.training.checkpoints import read_checkpoint
from napari_mosaic.training.history import read_history


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for both runs; must be new")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a run")
    parser.add_argument("--steps", type=int, help="length of a run in steps instead")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--encoder", default="efficientnet-b3")
    parser.add_argument("--start", default="chance", help="imagenet where there is a connection")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--drawings", type=int, default=200)
    parser.add_argument("--validation", type=int, default=12)
    parser.add_argument("--round-steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    given = parser.parse_args()
    words = [
        "--synthetic", "--preset", "grout", "--encoder", given.encoder, "--start", given.start,
        "--side", str(given.side), "--drawing-size", str(given.side + 64), "--batch", str(given.batch),
        "--drawings", str(given.drawings), "--validation", str(given.validation),
        "--round-steps", str(given.round_steps), "--processes", "2", "--device", "cpu",
    ]  # fmt: skip
    length = ["--steps", str(given.steps)] if given.steps else ["--minutes", str(given.minutes)]
    began = time.monotonic()
    broken, kills = killed_run(given.out / "killed", [*words, *length], given.kills, random.Random(given.seed))
    minutes = (time.monotonic() - began) / 60
    steps = int(json.loads((broken / "run.json").read_text())["total"])
    whole = given.out / "whole"
    whole.mkdir(parents=True)
    (whole / "pool").symlink_to((broken / "pool").resolve())
    train(whole, [*words, "--steps", str(steps)]).wait()
    rows = read_history(broken)
    dice = [row["grout_dice"] for row in rows]
    same = (broken / "history.csv").read_text() == (whole / "history.csv").read_text()
    kept = all(kill["rows kept"] for kill in kills)
    report = {
        "benchmark": "resume",
        "minutes": round(minutes, 1),
        "steps": steps,
        "rounds": len(rows),
        "kills": kills,
        "same history": same,
        "dice": {"first": round(dice[0], 4), "best": round(max(dice), 4), "last": round(dice[-1], 4)},
    }
    print(json.dumps(report), flush=True)
    return 0 if same and kept and dice[-1] > dice[0] else 1


def killed_run(out: Path, words: list[str], count: int, rng: random.Random) -> tuple[Path, list[dict]]:
    """A run that is killed `count` times; what was on disk at each kill, and whether the end still has it."""
    held: list[tuple[int, int, str]] = []
    for number in range(count):
        process = train(out, words)
        wait_for(out, process, (number + 1) / (count + 1))
        time.sleep(rng.uniform(0, 8))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        step = int(read_checkpoint(out / "checkpoint.pt")["step"])
        rows = [row for row in read_history(out) if row["step"] <= step]
        held.append((step, len(rows), json.dumps(rows)))
    process = train(out, words)
    if process.wait():
        raise SystemExit(f"The resumed run ended with {process.returncode}.")
    end = read_history(out)
    kills = [{"checkpoint": step, "rows": n, "rows kept": json.dumps(end[:n]) == rows} for step, n, rows in held]
    return out, kills


def wait_for(out: Path, process: subprocess.Popen, part: float) -> None:
    """Wait until a part of the rounds is done."""
    while True:
        if process.poll() is not None:
            raise SystemExit(f"The run ended before it was killed ({process.returncode}); make it longer.")
        note, rows = out / "run.json", read_history(out)
        if rows and note.exists() and rows[-1]["step"] >= part * json.loads(note.read_text())["total"]:
            return
        time.sleep(0.5)


def train(out: Path, words: list[str]) -> subprocess.Popen:
    """`napari-mosaic train` in a process group of its own; it goes on with what is in `out`."""
    command = [sys.executable, "-m", "napari_mosaic", "train", "-o", str(out), *words, "--resume"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
