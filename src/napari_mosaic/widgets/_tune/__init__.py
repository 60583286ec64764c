"""The dock *Tune*.

One decision: the search runs in a process of its own (`worker`); the dock reads what that one writes.
"""
