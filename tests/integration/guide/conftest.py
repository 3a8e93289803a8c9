from collections.abc import Iterator

import pytest
from support.guide import EXAMPLE_KEY

from scribe_local import servers


@pytest.fixture(scope="session")
def keyed() -> Iterator[servers.Simulator]:
    """A scanner that wants the key of the guide's examples."""
    with servers.simulator(seed=3, audio_samples=16, api_key=EXAMPLE_KEY) as server:
        yield server
