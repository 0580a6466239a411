"""How weights are changed: optimizer, averages, distillation, quantization-aware training."""
