"""The main panel, from a photograph to a record.

One decision: what only the panel needs lies here; what docks share lies one level up.
"""
