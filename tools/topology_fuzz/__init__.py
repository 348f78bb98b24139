"""Fuzzing of what reads topologies: `python tools/fuzz_topology.py --minutes 10 --format lspci`.

An input is put through all that a user's command does with a file (`target`), not through a parser
alone: what a reader lets through must not break the checks, the merge or a writer behind it. It is
changed by its structure (`structure`, `mutate`), because bytes changed at random seldom get past
XML or JSON; kept where it reached a line or a branch that none before reached (`coverage`); and
run in a process that may die of it (`worker`): memory is limited by RLIMIT_AS, time by an alarm of
CPU time, and who watches has each input before it runs, in memory that both share.

Own, because what there is does other things: atheris brings libFuzzer, which ends at the first
crash, and must be built for each Python; hypothesis has no coverage to go by. `sys.monitoring`
gives it for next to nothing since Python 3.12; before, `sys.settrace` does.

Inputs that came from files of our own are kept, and are small; those of other people are read in a
last part of a run, and what they lead to is kept only where it is a finding.
"""
