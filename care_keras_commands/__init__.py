"""Console commands, which run from anywhere: `care-convert`, `care-tflite audit` and others."""
