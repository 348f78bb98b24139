"""The flight recorder: what each process called last, written to files and read together.

The core writes one file a process (docs/flight-recorder.md). `dump` reads and checks one, `merge`
puts those of many ranks together, `report` says it in words, `torch_trace` translates for torch's
`torchfrtrace`. But for reading files all of it is pure.
"""


def dump_flight_record(prefix: str | None = None) -> list[str]:
    """Write now what this process has called on its groups; return the paths of the files.

    One file for each rank that the process is (threads may be several), named by `prefix`, the rank
    in the job, and ".json"; without `prefix` by DISTOS_COLL_FLIGHT_FILE. No group: no file.
    InvalidArgument if neither is given, SystemFailure if a file cannot be written.
    """
    from distos_coll import _native
    from distos_coll.work import translated

    with translated():
        return _native.write_flight_records(prefix)
