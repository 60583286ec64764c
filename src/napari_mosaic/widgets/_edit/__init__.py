"""The dock *Edit tesserae*.

One decision: tools know the mouse and the overlay, never the record: every edit goes through the session.
"""
