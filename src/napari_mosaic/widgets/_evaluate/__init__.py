"""The dock *Evaluate*.

One decision: it computes nothing of its own: every figure is a row of `evaluation`'s table, and the command's.
"""
