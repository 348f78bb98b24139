"""distos beside its peers and the machine's limits, interleaved in one run: docs/bench.md."""
