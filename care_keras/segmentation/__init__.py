"""What segmentation is made of: its loss, maps of classes out of outputs, their figures."""
