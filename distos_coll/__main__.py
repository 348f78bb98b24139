"""`python -m distos_coll` is the command `distos-coll`, for where scripts are not on the path."""

from distos_coll.cli.app import main

main()
