"""Measurements. Absolute numbers are those of one machine; ratios within one run are what counts."""
