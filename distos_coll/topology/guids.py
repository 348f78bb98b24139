"""Hardware ids of adapters: 64 bits that every source spells in its own way.

InfiniBand's tools write 0x98039b030067261c, sysfs 9803:9b03:0067:261c, and NCCL prints the bytes in
reverse. Ids that are masked or made up are compared as text.
"""

import re

_HEXADECIMAL = re.compile("[0-9a-f]{1,16}")


def plain(guid: str) -> str:
    """Sixteen digits without any marks; what is no such number stays as it is."""
    bare = guid.strip().lower().removeprefix("0x").replace(":", "")
    return bare.zfill(16) if _HEXADECIMAL.fullmatch(bare) else guid


def backwards(guid: str) -> str:
    """The same with its bytes in reverse order."""
    bare = plain(guid)
    if not _HEXADECIMAL.fullmatch(bare):
        return bare
    return bytes.fromhex(bare)[::-1].hex()


def either(guid: str) -> str:
    """One text for a GUID in whichever order its bytes are."""
    return min(plain(guid), backwards(guid))
