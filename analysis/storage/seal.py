"""A Parquet file that carries the digest of its own bytes, so that no flipped bit passes.

Checksums of pages leave headers and footer open, where one bit can rename a column or change what a
page is taken for. The digest is in the file's metadata; it is made of the whole file with zeros in
its place.
"""

import hashlib

NAME = b"babelscope.sha256"
BLANK = b"0" * 64
# As Thrift's compact protocol writes it: the name, then a binary field (0x18) of 64 bytes (0x40).
MARK = NAME + b"\x18\x40"


def seal(content: bytes) -> bytes:
    """A file whose metadata has `BLANK` under `NAME`, with its digest in that place."""
    start = content.rindex(MARK + BLANK) + len(MARK)
    digest = hashlib.sha256(content).hexdigest().encode()
    return b"".join((content[:start], digest, content[start + len(BLANK) :]))


def intact(content: bytes) -> bool | None:
    """Whether a file's bytes are those that were sealed; None for one without a seal."""
    # The metadata lies at the end, behind the rows.
    found = content.rfind(MARK)
    if found < 0:
        return None
    start = found + len(MARK)
    whole = memoryview(content)
    digest = hashlib.sha256(whole[:start])
    digest.update(BLANK)
    digest.update(whole[start + len(BLANK) :])
    return digest.hexdigest().encode() == content[start : start + len(BLANK)]
