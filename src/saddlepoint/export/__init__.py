"""Exports networks to files that contain no code: safetensors, JSON and ONNX."""
