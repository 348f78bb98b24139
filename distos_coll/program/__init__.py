"""Programs: the data that an algorithm is, how to write, check, run and encode it
(docs/decisions/0001).
"""
