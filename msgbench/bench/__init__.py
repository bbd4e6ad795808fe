"""`msgbench bench`: the package's own speed, as records, and docs/performance.md, which is made of them.

Joins floors that do not see each other: the training and data rooms do the timing, models/ knows the arithmetic of a
step, the measuring room has the scores.
"""
