"""Measuring: one fresh process per row, its timing, memory, drift and accuracy.

The parent asks through `deploykit.bench.request`; what is heavy is imported in the worker process alone.
"""
