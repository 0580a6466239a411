"""What all commands share: start-up, flags, exit codes, tables, progress."""
