"""What segmentation is made of: how right maps of classes are."""
