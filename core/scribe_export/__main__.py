"""``python -m scribe_export``."""

from scribe_export.cli import main

main()
