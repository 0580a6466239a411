"""Measuring on a phone: what in which order, from preparing it to the record of a run."""
