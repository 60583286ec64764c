"""The dock *Measure*.

One decision: what is seen in a plot and what is seen in the viewer are one selection of tesserae.
"""
