"""SAM 2 on mosaics: models, prompts, masks, and the rules by which masks become tesserae.

One decision: what needs torch (`building`, `checkpoints`, `network`) stands apart from what needs numpy
alone (parameters, prompts, masks, overlaps, cleaning), and this file imports neither.
"""
