"""Measuring: one fresh process per row, its timing, memory, drift and accuracy.

The parent uses `deploykit.bench.request` and `deploykit.bench.request`, which import nothing heavy; all
else runs in the worker process.
"""
