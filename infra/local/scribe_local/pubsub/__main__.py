"""Serve until SIGTERM or SIGINT."""

import argparse
import signal
import threading

from scribe_local.pubsub.server import serve


def main() -> None:
    """Serve on 127.0.0.1."""
    parser = argparse.ArgumentParser(prog="python -m scribe_local.pubsub", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    ended = threading.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda *_: ended.set())
    server = serve(parser.parse_args().port)
    ended.wait()
    server.stop(0.2).wait()


if __name__ == "__main__":
    main()
