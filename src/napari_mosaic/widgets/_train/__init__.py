"""The dock *Train*.

One decision: training runs in a process of its own (`worker`); the dock reads what that one writes.
"""
