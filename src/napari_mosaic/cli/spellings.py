"""Words of GROUT's programs, answered with ours: what means the same is taken, what does not is explained.

One decision: the words are those of its README and of its programs' options; nothing else here knows them.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_mosaic.cli.output import UsageError, say

HERE = ""
"""The value stands by itself, as a photograph or a folder does."""
OPTIONS: dict[str, dict[str, str]] = {
    "segment": {
        "--image": HERE, "--input_dir": HERE, "--input-dir": HERE, "--output_dir": "--joints",
        "--output-dir": "--joints", "--checkpoint": "--model",
    },
    "train": {
        "--batch_size": "--batch", "--batch-size": "--batch", "--lr": "--rate", "--img_size": "--side",
        "--img-size": "--side", "--data_dir": HERE, "--data-dir": HERE,
    },
    "finetune": {
        "--batch_size": "--batch", "--batch-size": "--batch", "--lr": "--rate", "--checkpoint": "--model",
        "--data_dir": HERE, "--data-dir": HERE,
    },
    "export-model": {"--checkpoint": HERE},
}  # fmt: skip
"""By command, GROUT's option and ours."""
COMMANDS = {
    "inference": "segment PHOTOGRAPH --model MODEL --joints FOLDER",
    "generate_synthetic": "synthesize FOLDER --geometry grout --count 1500",
    "export_model": "export-model MODEL -o NAME.onnx",
    "fuse_probs": "fuse MAP MAP -o FILE",
}
"""GROUT's programs whose names are no commands here, and what to give instead."""


def translate(words: Sequence[str]) -> list[str]:
    """The words of a command line with GROUT's options as ours; each that was taken is told.

    Raises
    ------
    UsageError
        The first word is one of GROUT's programs.
    """
    if not words:
        return []
    command = words[0].removesuffix(".py")
    if command in COMMANDS:
        raise UsageError(f"There is no command {words[0]} here; give: napari-mosaic {COMMANDS[command]}.")
    known, result = OPTIONS.get(command, {}), [words[0]]
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if name not in known:
            result.append(word)
            continue
        ours = known[name]
        say(f"{name} is {ours or 'given without a name'} here.")
        result += [part for part in (ours, value if equals else "") if part]
    return result


__all__ = ["COMMANDS", "OPTIONS", "translate"]
