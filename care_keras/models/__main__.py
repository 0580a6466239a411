"""Lists the models and what they cost: `python -m care_keras.models --size=224,448x336`.

With `--ablations` those of the paper too: each is trained, converted and so on
by the name that the table gives it. With `--heads` what backbones cost without
and with the networks for segmentation and detection.
"""

from absl import flags

from care_keras.console import cli
from care_keras.models.listing import report

_MODEL = flags.DEFINE_string("model", "all", "Name of the config (s0, s1, s2, nano, xs), or all.")
_SIZE = flags.DEFINE_list(
    "size", [], "Image sizes, 224 or HEIGHTxWIDTH, comma separated (default: each model's own)."
)
_LAYERS = flags.DEFINE_bool("layers", False, "Break each model down by stage.")
_ABLATIONS = flags.DEFINE_bool("ablations", False, "List the ablations of each model too.")
_HEADS = flags.DEFINE_bool(
    "heads", False, "List networks for segmentation and detection on each model, by default at 512."
)


def main() -> None:
    """Prints the table that the flags ask for."""
    print(report(_MODEL.value, _SIZE.value, _LAYERS.value, _ABLATIONS.value, _HEADS.value))


if __name__ == "__main__":
    cli.run(main)
