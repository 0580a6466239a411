"""Draws examples of inputs that are not one image alone: photos, an .npz file's arrays, noise."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from care_keras.convert.examples import Examples, InputSpec, noise_for, read_arrays
from care_keras.convert.images import open_calibration_and_held_out, read_pixels
from care_keras.convert.job import ConversionJob, is_array_file
from care_keras.data.sources import drawn_places

# Of arrays that nothing is said of: the share that is held out.
_HELD_OUT_SHARE = 0.2


class DrawnExamples:
    """Examples to calibrate with, and others to check with.

    Args:
        job: What was asked for.
        specs: The inputs of the model.
        calibrated: Whether ranges are wanted.

    Attributes:
        given: Names of the inputs that files have arrays for.

    Raises:
        ValueError: If a file cannot be used, or lacks what ranges need.
    """

    def __init__(self, job: ConversionJob, specs: Sequence[InputSpec], calibrated: bool):
        self._job, self._specs, self._calibrated = job, specs, calibrated
        self._arrays, self._held_out = (
            read_arrays(path, specs) if is_array_file(path) else {}
            for path in (job.calibration, job.evaluation)
        )
        self.given = frozenset(self._arrays) | frozenset(self._held_out)
        if self._arrays and self._held_out and self._arrays.keys() != self._held_out.keys():
            raise ValueError(
                "--calibration and --evaluation must have arrays for the same inputs. Received: "
                f"{', '.join(self._arrays)} and {', '.join(self._held_out)}"
            )
        images = [spec for spec in specs if spec.record and spec.name not in self.given]
        if self._arrays and job.evaluation and not self._held_out and not images:
            raise ValueError(
                "The arrays of --calibration are checked on the last of them, or on those of "
                f"another .npz file. Received: evaluation={job.evaluation!r}"
            )
        lacking = [spec for spec in specs if not spec.record and spec.name not in self._arrays]
        if calibrated and lacking:
            raise ValueError(
                "int8 needs examples of inputs that take no images: --calibration=FILE.npz with an "
                f"array (examples, ...) named after each, {', '.join(map(str, lacking))}; it may "
                f"have all inputs. Received: calibration={job.calibration!r}"
            )

    def draw(
        self, samples: int, check_samples: int, warnings: list[str]
    ) -> tuple[Examples | None, Examples]:
        """Examples to calibrate with, or `None` where that is not wanted; and to check with.

        Args:
            samples: To calibrate with, at most.
            check_samples: To check with, at most. Of arrays that are divided, it is half of
                them at most, and a fifth unless the job says how many.
            warnings: Lines for the user are added here.

        Raises:
            ValueError: If images cannot be read.
        """
        arrays, held_out = self._divided(samples, check_samples, warnings)
        ranges, check = {}, dict(held_out)
        records, names = {}, [set(), set()]
        images = {spec: k for k, spec in enumerate(self._images()) if spec.name not in check}
        if images:
            sources = self._sources(
                _count(arrays, samples),
                _count(held_out, check_samples),
                warnings,
            )
            parts = ((ranges, arrays, "calibration"), (check, held_out, "held-out"))
            for part, (found, like, what) in enumerate(parts):
                if part == 0 and not self._calibrated:
                    continue
                names[part].add(sources[part].name)
                read = {}
                for spec, turn in images.items():
                    if spec.record not in read:
                        label = f"reading {what} images of {sources[part].name}"
                        read[spec.record] = read_pixels(sources[part], spec.record, label)[0]
                    pixels = read[spec.record]
                    order = np.arange(len(pixels))
                    if turn:
                        # Pairs of photos that are not always the same one.
                        order = np.random.default_rng((self._job.seed, turn)).permutation(order)
                    found[spec.name] = pixels[np.resize(order, _count(like, len(pixels)))]
            records = {spec.name: spec.record for spec in images}
        ranges |= arrays
        count = _count(check, check_samples)
        noise = tuple(spec.name for spec in self._specs if spec.name not in check)
        for place, spec in enumerate(self._specs):
            if spec.name in noise:
                check[spec.name] = noise_for(spec, place, count, self._job.seed)
        if noise:
            listed = ", ".join(map(repr, noise))
            names[1].add(f"noise for {listed}")
            warnings.append(
                f"checked on noise in {listed}, that takes no images: --calibration=FILE.npz with "
                "arrays named so has the app's own values"
            )
        if arrays:
            names[0].add(self._job.calibration)
        if held_out:
            held = self._job.evaluation if self._held_out else f"{self._job.calibration} (held out)"
            names[1].add(held)
        calibration = self._examples(names[0], ranges, records) if self._calibrated else None
        return calibration, self._examples(names[1], check, records, noise)

    def _images(self):
        return [spec for spec in self._specs if spec.record]

    def _examples(self, names, arrays, records, noise=()):
        ordered = {spec.name: arrays[spec.name] for spec in self._specs}
        return Examples("; ".join(sorted(names)), ordered, records, noise)

    def _divided(self, samples, check_samples, warnings):
        """The arrays of files: those for ranges, and those that are held out."""
        if self._held_out:
            held_out = _first(self._held_out, check_samples)
            return self._sampled(self._arrays, samples), held_out
        if not self._arrays:
            return {}, {}
        total = _count(self._arrays, 0)
        if total == 1:
            path = os.fspath(self._job.calibration)
            warnings.append(f"{path} has one example: the check uses what set the ranges")
            return self._arrays, self._arrays
        share = 0.5 if self._job.check_samples else _HELD_OUT_SHARE
        held = min(check_samples, max(1, int(total * share)))
        last = {name: array[-held:] for name, array in self._arrays.items()}
        return self._sampled(_first(self._arrays, total - held), samples), last

    def _sampled(self, arrays, samples):
        total = _count(arrays, 0)
        if total <= samples:
            return arrays
        chosen = drawn_places(total, samples, self._job.seed)
        return {name: array[chosen] for name, array in arrays.items()}

    def _sources(self, samples, check_samples, warnings):
        """Photos for the inputs that take them and are in no file."""
        job = self._job
        folders = [x for x in (job.calibration, job.evaluation) if x and not is_array_file(x)]
        first, *rest = folders or ["bundled"]
        *sources, warning = open_calibration_and_held_out(
            first, rest[0] if rest else None, samples, check_samples, job.seed
        )
        if warning:
            warnings.append(warning)
        return sources


def _count(arrays: Mapping[str, np.ndarray], otherwise: int) -> int:
    """How many examples there are, `otherwise` where there is no array."""
    return len(next(iter(arrays.values()))) if arrays else otherwise


def _first(arrays, count):
    return {name: array[:count] for name, array in arrays.items()}
