"""SAM 2 over a whole mosaic: windows, what they propose, tiles that compose it, and clicks.

One decision: a tile asks for all that could change a pixel of it, so size, order and number of tiles leave no trace.
"""
