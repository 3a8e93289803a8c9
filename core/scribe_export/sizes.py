"""Sizes as people read them."""


def shown_size(size: int) -> str:
    """Bytes in their largest unit: 1.5 GiB, 20.0 MiB, 12 B."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
