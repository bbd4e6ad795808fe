"""Losses of the paper as pure functions: adversarial terms, penalties and what a step adds up.

Not optimisation. Scores are [N]; images are lists of [N, 3, R, R], lowest resolution first.
"""
