"""Teaching a small network on CPU cores by a larger one that knows other images, in PyTorch."""
