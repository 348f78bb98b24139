"""Channels laid over a topology: rings and trees of ranks, the ports they pass, what each gets.

`lay_out` is the door (`lay.py`); `placement.py` says where ranks are. Decision 0012.
"""
