"""Estimate the seconds and bytes that units and models take, and learn from what they took.

The first estimate is arithmetic: tokens times parameters over a stated rate, weights over a stated
disk. Every finished unit then corrects the estimates of its model, and, until those have been
measured themselves, of the others.
"""

import math
from collections.abc import Hashable, Iterable
from typing import Literal

from studies.spec import ModelFacts
from studies.texts import CHARACTERS_PER_TOKEN
from studies.unit import Unit

Device = Literal["cpu", "gpu"]

# Tokens x parameters per second: about 100 TFLOP/s of a GPU, 60 GFLOP/s of a core.
RATES: dict[Device, float] = {"gpu": 5e13, "cpu": 3e10}
# Dispatch, tokenising and writing a shard cost this much however little a unit computes.
UNIT_SECONDS = 0.1
BYTES_PER_NUMBER = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "8bit": 1.0, "4bit": 0.5}

# A process that imports torch and finds its device, then reads the weights.
START_SECONDS = 8.0
# vLLM imports five times as much, then measures its memory and may compile the model.
ENGINE_START_SECONDS = 40.0
DISK_BYTES_PER_SECOND = 1e9

# Activations beside the weights (batches shrink to what is left), and what a process takes itself.
ACTIVATIONS = 0.1
PROCESS_BYTES = 1_000_000_000
# Keys and values, for which vLLM takes a whole GPU: with less than this it would write few texts
# at a time.
ENGINE_BYTES = 4_000_000_000

# A unit is hung after so many times its estimate, but never before so many seconds.
PATIENCE = 10.0
PATIENCE_SECONDS = 60.0
# Until a unit of the kind has been measured, an estimate may be wrong by this much more.
DOUBT = 10.0
# Nor before so many times the slowest unit of late, measured against its own estimate; but no later
# than this, as waiting for a hung unit costs more than to begin one anew.
SLOWEST = 3.0
FADING = 0.999
MOST_PATIENCE = 30.0
# A load is hung after so many times its estimate: most of it is reading, and a disk that is shared
# can be far slower than it was. Never before ten minutes, which is nothing to lose on a load.
LOAD_PATIENCE = 10.0
LOAD_PATIENCE_SECONDS = 600.0
# Nor, where the files may have to come off the hub first, before a slow line has brought them: ten
# megabytes a second, a tenth of what the hub gives, for when ten models share it.
SLOW_LINE_BYTES_PER_SECOND = 1e7

# A new measurement counts as one of at most this many: older ones fade.
MEMORY = 200
# A measurement further off than this from what is expected is taken as this far off.
OUTLIER = 20.0


class Cost:
    """Estimates, corrected by `learn`, `learned_load` and `learned_bytes`."""

    def __init__(self, *, device: Device = "gpu") -> None:
        """Begin with the stated rates of a device; the schedule sets `device` from its nodes."""
        self.device: Device = device
        self._units = _Ratios()
        self._loads = _Ratios()
        self._bytes: dict[ModelFacts, tuple[int, int]] = {}
        self._slowest = 1.0

    def stated(self, unit: Unit) -> float:
        """Seconds by the stated rate alone: never changes, so queues may be ordered by it."""
        tokens = unit.characters / CHARACTERS_PER_TOKEN
        return UNIT_SECONDS + tokens * parameters(unit.model) / RATES[self.device]

    def factor(self, model: ModelFacts, kind: str) -> float:
        """By how much units of this model and kind take longer than stated."""
        return self._units.of((model, kind))

    def seconds(self, unit: Unit) -> float:
        """Seconds that the unit takes on a worker."""
        return self.stated(unit) * self.factor(unit.model, unit.kind)

    def deadline(self, unit: Unit) -> float:
        """Seconds after which the unit is taken for hung.

        Ten times the estimate; up to thirty times where this run has seen units that slow; ten
        times longer where nothing of the kind is measured yet.
        """
        count = self._units.count((unit.model, unit.kind))
        patience = min(MOST_PATIENCE, max(PATIENCE, SLOWEST * self._slowest))
        return (1.0 if count else DOUBT) * max(PATIENCE_SECONDS, patience * self.seconds(unit))

    def load_deadline(self, model: ModelFacts) -> float:
        """Seconds after which a load is taken for hung."""
        line = model.bytes / SLOW_LINE_BYTES_PER_SECOND
        return max(LOAD_PATIENCE_SECONDS, line, LOAD_PATIENCE * self.load_seconds(model))

    def load_seconds(self, model: ModelFacts) -> float:
        """Seconds from starting a process until it has loaded the model."""
        return _stated_load(model) * self._loads.of(model)

    def bytes(self, model: ModelFacts) -> int:
        """GPU memory the model needs in all: weights, as measured if they are, and activations."""
        weights, most = self._bytes.get(model, (model.bytes, 0))
        needed = round(weights * (1 + ACTIVATIONS)) + PROCESS_BYTES
        if model.engine == "vllm":
            needed += ENGINE_BYTES
        return min(needed, most) if most else needed

    def learn(self, unit: Unit, seconds: float) -> None:
        """The unit took so many seconds."""
        name = (unit.model, unit.kind)
        if self._units.count(name):
            self._slowest = max(self._slowest * FADING, seconds / self.seconds(unit))
        self._units.learn(name, seconds / self.stated(unit))

    def learned_load(self, model: ModelFacts, seconds: float) -> None:
        """Loading the model took so many seconds."""
        self._loads.learn(model, seconds / _stated_load(model))

    def learned_bytes(self, model: ModelFacts, count: int, *, most: int = 0) -> None:
        """The loaded model took so many bytes of GPU memory; the most of all its loads counts.

        `most` (0 if unknown) is what the GPUs hold on which it was loaded, so it needs no more.
        """
        before, bound = self._bytes.get(model, (0, 0))
        self._bytes[model] = (max(count, before), max(most, bound))

    def hours(self, units: Iterable[Unit]) -> float:
        """Hours that the units take one device, each model loaded once."""
        seconds: dict[ModelFacts, float] = {}
        for unit in units:
            before = seconds.get(unit.model) or self.load_seconds(unit.model)
            seconds[unit.model] = before + self.seconds(unit)
        return sum(seconds.values()) / 3600


def parameters(model: ModelFacts) -> float:
    """How many numbers the model's weights are, from their bytes."""
    return model.bytes / BYTES_PER_NUMBER[model.quantisation or model.dtype]


def _stated_load(model: ModelFacts) -> float:
    """Seconds of a load before any is measured."""
    start = ENGINE_START_SECONDS if model.engine == "vllm" else START_SECONDS
    return start + model.bytes / DISK_BYTES_PER_SECOND


class _Ratios:
    """Measured over stated seconds, by name: a mean that leans on the other names' at first."""

    def __init__(self) -> None:
        """Nothing is measured: every ratio is 1."""
        self._means: dict[Hashable, tuple[float, int]] = {}
        self._logarithms = 0.0

    def count(self, name: Hashable) -> int:
        """How many measurements of this name itself there are, at most `MEMORY`."""
        return self._means.get(name, (1.0, 0))[1]

    def of(self, name: Hashable) -> float:
        """What to expect: the mean, with what the others show weighing as one measurement."""
        others = math.exp(self._logarithms / max(1, len(self._means)))
        mean, count = self._means.get(name, (1.0, 0))
        return (others + mean * count) / (1 + count)

    def learn(self, name: Hashable, ratio: float) -> None:
        """Take in one measurement; one that is far off moves the mean only so far."""
        ratio = max(ratio, 1e-9)
        before = self._means.get(name)
        if before is None:
            mean, count = ratio, 1
        else:
            old, count = before[0], min(before[1] + 1, MEMORY)
            mean = old + (min(max(ratio, old / OUTLIER), old * OUTLIER) - old) / count
            self._logarithms -= math.log(old)
        self._means[name] = (mean, count)
        self._logarithms += math.log(mean)
