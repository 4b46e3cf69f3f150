"""ONNX files: read with care, and written."""
