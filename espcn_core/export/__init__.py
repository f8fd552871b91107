"""Trained networks as ONNX files, for those who run them without this package."""
