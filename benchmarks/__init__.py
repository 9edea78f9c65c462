"""Measurements. Absolute numbers are those of one machine; ratios within one run are what counts.

`python -m benchmarks` (`make bench`) measures and writes RESULTS.md; see `__main__` for its options.
"""
