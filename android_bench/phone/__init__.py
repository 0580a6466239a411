"""One phone: its connection, files, state, and whether it is fit for a measurement."""
