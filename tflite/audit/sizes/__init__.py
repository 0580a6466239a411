"""The sizes that a file leaves open, as LiteRT allocates them."""
