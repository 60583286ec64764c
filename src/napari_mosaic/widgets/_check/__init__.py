"""The dock *How good is it?*.

One decision: it counts squares with the functions of the command `check`, and keeps them beside the record.
"""
