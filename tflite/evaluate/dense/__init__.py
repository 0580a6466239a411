"""Detectors and segmenters, evaluated on images with boxes or with maps of classes."""
