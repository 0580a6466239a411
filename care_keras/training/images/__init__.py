"""The images of a run: read, augmented, batched."""
