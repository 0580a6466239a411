"""A run from its first step to its folder: loop, checkpoints, state, log, pictures."""
