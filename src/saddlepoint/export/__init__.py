"""Networks in files that hold no code: safetensors, JSON, ONNX."""
