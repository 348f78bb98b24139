"""The `distos-coll` command (app.py). Exit codes: 0 good, 1 the thing failed, 2 usage."""
