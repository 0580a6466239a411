"""TFLite's benchmark_model: where it is, and what it prints."""
