"""Programs to learn from; each is run as its first lines say."""
