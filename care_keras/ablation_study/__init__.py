"""Trains ablations alike, seed by seed, and tells what came of it."""
