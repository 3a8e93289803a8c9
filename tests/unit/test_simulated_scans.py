"""The physics and the documents of the simulated scanner, without its server."""

import json
from itertools import pairwise

import numpy as np
import pytest

from scribe_export.scan import parse_timestamp, read_fields
from scribe_local.config import SIGNAL_TYPES, ScanConfig
from scribe_local.excitation import SAMPLE_RATE, synthesise
from scribe_local.features import extract
from scribe_local.interpretation import Adaptation, Patterns, interpret, typical
from scribe_local.materials import MATERIALS, Modes, nominal_modes, specimen
from scribe_local.resonance import respond
from scribe_local.scans import Bench, generate


def _best(document: bytes) -> str:
    return str(json.loads(document)["interpretation"]["pattern_matches"]["materials"][0]["material"])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() -> None:
    assert list(generate(10, seed=3)) == list(generate(10, seed=3))
    one, other = (Bench(seed=seed).perform(1, ScanConfig(), Patterns())["response"] for seed in (3, 4))
    assert one != other


def test_a_document_is_near_five_kilobytes_and_grows_with_its_audio() -> None:
    sizes = [len(body) for body in generate(50)]
    assert min(sizes) > 4000
    assert max(sizes) < 6000
    (big,) = generate(1, audio_samples=100_000)
    assert len(json.loads(big)["response"]["audio_data"]) == 100_000
    (silent,) = generate(1, audio_samples=0)
    assert json.loads(silent)["response"]["audio_data"] == []


def test_shortened_audio_keeps_the_recordings_strongest_sample() -> None:
    (short,), (whole,) = generate(1, audio_samples=100), generate(1, audio_samples=16_384)
    strongest = [max(json.loads(body)["response"]["audio_data"], key=abs) for body in (short, whole)]
    assert strongest[0] == strongest[1]


def test_the_framework_reads_every_field_of_a_document() -> None:
    for body in generate(5):
        fields = read_fields(body)
        document = json.loads(body)
        assert fields.scan_id == str(document["scan_id"])
        assert fields.confidence == document["interpretation"]["confidence_scores"]["overall"]
        assert fields.material in MATERIALS
        assert fields.signal_type == document["config"]["signal_type"] == document["signals"][0]["type"]
        assert fields.frequency == document["config"]["frequency"]


def test_timestamps_rise_from_scan_to_scan() -> None:
    moments = [parse_timestamp(json.loads(body)["timestamp"]) for body in generate(30, seed=9)]
    assert all(earlier < later for earlier, later in pairwise(moments))


def test_every_confidence_lies_between_zero_and_one() -> None:
    for body in generate(60, noise=0.05):
        scores = json.loads(body)["interpretation"]["confidence_scores"]
        assert 0 <= scores["overall"] <= 1
        assert 0 <= scores["signal_quality"] <= 1
        assert abs(sum(scores["materials"].values()) - 1) < 0.01


def test_low_noise_oak_is_matched_as_oak_for_most_of_fifty_seeds() -> None:
    matched = sum(_best(next(generate(1, seed, material="oak", noise=0.0002))) == "oak" for seed in range(50))
    assert matched >= 40


@pytest.mark.parametrize("material", MATERIALS)
def test_most_scans_of_a_material_are_recognised(material: str) -> None:
    assert sum(_best(body) == material for body in generate(40, material=material)) >= 28


def test_more_noise_lowers_the_confidence() -> None:
    means = [
        np.mean(
            [json.loads(body)["interpretation"]["confidence_scores"]["overall"] for body in generate(40, noise=noise)]
        )
        for noise in (0.0005, 0.05)
    ]
    assert means[0] > means[1] + 0.1


def test_a_single_mode_is_found_at_its_frequency_with_its_q_and_decay() -> None:
    frequency, damping = 1000.0, 0.01
    mode = Modes(np.array([frequency]), np.array([damping]), np.array([1.0]))
    pulse = ScanConfig("pulse", frequency=8000.0, duration=1.0, amplitude=1.0)
    features = extract(respond(pulse, mode, np.random.default_rng(1), noise=0.0), typical())
    (peak, *_) = features["frequency_domain"]["dominant_peaks"]
    assert peak["frequency"] == pytest.approx(frequency, rel=0.005)
    assert peak["q"] == pytest.approx(1 / (2 * damping), rel=0.15)
    assert features["time_domain"]["decay_time"] == pytest.approx(
        np.log(1000) / (2 * np.pi * frequency * damping), rel=0.05
    )


def test_metal_rings_longer_than_plastic() -> None:
    def decay(material: str) -> float:
        sweep = ScanConfig("sweep", frequency=1000.0)
        recording = respond(sweep, nominal_modes(material), np.random.default_rng(1), noise=1e-5)
        return float(extract(recording, typical())["time_domain"]["decay_time"])

    assert decay("steel") > 4 * decay("acrylic")


@pytest.mark.parametrize("signal_type", SIGNAL_TYPES)
def test_each_excitation_keeps_its_amplitude_and_length(signal_type: str) -> None:
    wave = synthesise(ScanConfig(signal_type, frequency=500.0, duration=0.1, amplitude=0.4), np.random.default_rng(1))
    assert wave.size == int(0.1 * SAMPLE_RATE)
    assert 0.3 < np.abs(wave).max() <= 0.4


def test_a_sine_and_a_sweep_hold_the_frequencies_they_say() -> None:
    rng = np.random.default_rng(1)
    sine, sweep = (synthesise(ScanConfig(kind, 1000.0, amplitude=1.0), rng) for kind in ("sine", "sweep"))
    bins = np.fft.rfftfreq(sine.size, 1 / SAMPLE_RATE)
    assert bins[np.abs(np.fft.rfft(sine)).argmax()] == pytest.approx(1000, abs=10)
    power = np.cumsum(np.abs(np.fft.rfft(sweep)) ** 2)
    low, high = (bins[np.searchsorted(power, part * power[-1])] for part in (0.01, 0.99))
    assert low == pytest.approx(250, rel=0.15)
    assert high == pytest.approx(4000, rel=0.15)


def test_a_longer_scan_averages_its_noise_down() -> None:
    silent = Modes(np.array([1000.0]), np.array([0.01]), np.array([0.0]))
    short, long = (
        respond(ScanConfig(duration=duration), silent, np.random.default_rng(1)).heard.std()
        for duration in (0.12, 12.0)
    )
    assert short == pytest.approx(10 * long, rel=0.05)


def test_a_correction_moves_the_pattern_towards_what_was_heard_and_nothing_else() -> None:
    config = ScanConfig("noise", duration=4.0)
    recording = respond(config, specimen("pine", np.random.default_rng(5)), np.random.default_rng(5))
    features = extract(recording, typical())
    heard, coverage = (features["frequency_domain"][name] for name in ("band_levels", "band_coverage"))
    patterns = Patterns()
    before = patterns.similarities(heard, coverage)
    patterns.adapt(Adaptation("oak", heard, coverage))
    after = patterns.similarities(heard, coverage)
    assert before["oak"] < after["oak"] < 1
    assert {name: value for name, value in before.items() if name != "oak"} == {
        name: value for name, value in after.items() if name != "oak"
    }
    assert interpret(config, features, patterns)["pattern_matches"]["materials"][0]["material"] == "pine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"material": "butter"}, "unknown material 'butter'"),
        ({"audio_samples": -1}, "audio_samples is -1"),
        ({"noise": 2.0}, "noise is 2"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_bench_that_cannot_be_says_why(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Bench(**options)  # type: ignore[arg-type]  # wrong on purpose
