"""What people use: the command line, a trained student, ONNX, the explorer of notebook 5."""
