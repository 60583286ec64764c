"""The dock *SAM 2*.

One decision: it borrows the editing session of the viewer, so its edits and their undo are those of *Edit tesserae*.
"""
