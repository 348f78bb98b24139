"""`distos-coll bench`: measures and checks collectives with nccl-tests' options, definitions and
lines.

    options.py      what is asked for            collectives.py  who holds what, bandwidths
    elements.py     element types                data.py         values whose result is exact
    doors.py        the array door               torch_door.py   torch.distributed, any backend
    run.py          the loop: time, check        table.py, report.py   lines, JSON
    local.py        processes of this host       worker.py       one of them
    probes.py       links and kernels            sweep.py        every candidate
    findings.py     a profile, a judgement       calibrate.py    the jobs that find them
"""
