"""The benchmarks: each measures one promise of the design, and prints a JSON line a figure. See README.md."""
