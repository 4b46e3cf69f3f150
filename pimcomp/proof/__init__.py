"""What shows that a program is right: static rules, and its execution against ONNX Runtime."""
