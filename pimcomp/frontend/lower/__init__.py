"""ONNX operators to the operations of the graph."""
