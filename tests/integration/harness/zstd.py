# SPDX-License-Identifier: MIT
"""zstd (RFC 8878) without a library: frames that store their content as it is."""

MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK = 128 * 1024


def frame(data, window_log=20):
    """One frame; its window has 1 << window_log bytes (10 to 41)."""
    pieces = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)] or [b""]
    blocks = b""
    for i, piece in enumerate(pieces):
        is_last = i == len(pieces) - 1
        blocks += (len(piece) << 3 | is_last).to_bytes(3, "little") + piece
    return MAGIC + bytes([0, (window_log - 10) << 3]) + blocks


def bomb(size):
    """A frame that inflates to so many spaces."""
    blocks = b""
    while size > 0:
        piece = min(size, BLOCK)
        size -= piece
        blocks += (piece << 3 | 1 << 1 | (size == 0)).to_bytes(3, "little") + b" "
    return MAGIC + bytes([0, 10 << 3]) + blocks
