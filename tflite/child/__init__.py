"""Programs in processes of their own, which may hang, crash or print garbage."""
