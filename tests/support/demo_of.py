"""``python demo_of.py PROGRAM …``: the demo, with another program in the exporter's place. The rest are its options."""

import sys
from unittest import mock

from scribe_local.demo import command, exporter

if __name__ == "__main__":
    program = [sys.executable, sys.argv[1]]
    with mock.patch.object(exporter, "exporter_command", return_value=program):
        command(sys.argv[2:])
