"""Training where data, augmentation and steps are one program on a GPU."""
