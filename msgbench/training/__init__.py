"""Training: one loop for all methods, its states, statistics and grids.

It never measures what it trains: no module here imports the metrics room, and none of that room imports
this one. What they share is the snapshot file.
"""
