"""Cost models, each a plugin: what an operation would take, candidate by candidate."""
