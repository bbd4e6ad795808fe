"""Launch: run a command in place or as a job that survives its starter. Uses submitit, never torch."""
