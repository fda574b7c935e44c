"""Measurements: `python -m benchmarks.NAME`, JSON on standard output, each figure beside a baseline of the same run."""
