"""Training on several devices and hosts."""
