"""Makes `assets/cifar10_sample.npz`: `python -m care_keras.data.make_bundled_sample`.

Class-balanced draws from CIFAR-10 in TFDS, the encoded JPEG bytes as they
are: calibration images from its train split, evaluation images from its test
split.
"""

import io

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.data.sources import BUNDLED_SAMPLE
from care_keras.files import write_atomically

_TRAIN_PER_CLASS = flags.DEFINE_integer("train_per_class", 200, "Images per class from train.")
_TEST_PER_CLASS = flags.DEFINE_integer("test_per_class", 500, "Images per class from test.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw.")


def main() -> None:
    """The command."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("cifar10")
    arrays = {
        "splits": np.array(["train", "test"]),
        "class_names": np.array(builder.info.features["label"].names),
    }
    rng = np.random.default_rng(_SEED.value)
    for split, per_class in (("train", _TRAIN_PER_CLASS.value), ("test", _TEST_PER_CLASS.value)):
        dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        examples = sorted(tfds.as_numpy(dataset), key=lambda example: example["id"])
        labels = np.array([example["label"] for example in examples])
        chosen = np.concatenate(
            [
                rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
                for label in range(len(arrays["class_names"]))
            ]
        )
        # Shuffled, so that any first part of the sample is balanced too.
        chosen = rng.permutation(chosen)
        encoded = [bytes(examples[i]["image"]) for i in chosen]
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
        arrays[f"{split}_labels"] = labels[chosen].astype(np.uint8)
        arrays[f"{split}_names"] = np.array([examples[i]["id"].decode() for i in chosen])
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomically(BUNDLED_SAMPLE, stream.getvalue())
    print(f"wrote {BUNDLED_SAMPLE} ({len(stream.getvalue()) / 1e6:.2f} MB)")


if __name__ == "__main__":
    cli.run(main)
