"""What a scan is asked with, in the guide's terms; imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

SIGNAL_TYPES = ("sine", "square", "sweep", "pulse", "noise")


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """What to play: hertz, seconds, and an amplitude above 0 and up to 1."""

    signal_type: str = "sine"
    frequency: float = 440.0
    duration: float = 2.0
    amplitude: float = 0.5

    def document(self) -> dict[str, Any]:
        """As the scan's `config`."""
        return {
            "signal_type": self.signal_type,
            "frequency": self.frequency,
            "duration": self.duration,
            "amplitude": self.amplitude,
        }
