"""Training and fine-tuning SAM 2: crops and prompts, the run, validation, the published grid. Needs torch and sam2.

One decision: what is learned from, how a run goes on and how it is judged are those of the other networks'
training and of `segment`; only crops, prompts and losses are SAM 2's own.
"""
