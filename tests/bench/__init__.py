"""Benchmarks: the throughput of the shop, beside what the machine itself can do."""
