"""What bench/compare, bench/scale and bench/nightly are made of. Python's own library only."""
