"""distos beside its peers and beside the machine's limits, interleaved in one run: docs/bench.md."""
