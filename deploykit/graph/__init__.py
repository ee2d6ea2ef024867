"""Anything done to an ONNX graph: loading, exporting, counting, changing its precision."""
