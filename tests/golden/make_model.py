"""Writes a CARE model with the weights of `weights_rule`: `make_model.py s0 s0.keras`.

For checks that need a whole S0, S1 or S2 and no trained one: its activations
have the scale that the rule gives them, whatever the machine.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import weights_rule  # noqa: E402  (it lies in this folder, which is no package)

from care_keras.models import CONFIGS, build_model  # noqa: E402
from care_keras.weights import import_weights  # noqa: E402


def main(arch: str, path: str) -> None:
    """Writes the model `arch` to `path`."""
    model = build_model(CONFIGS[arch], classifier_activation=None)
    import_weights(model, weights_rule.make_state_dict(weights_rule.state_dict_shapes(arch)))
    model.save(path)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("s0", "s1", "s2"):
        sys.exit("usage: make_model.py s0|s1|s2 MODEL.keras")
    main(*sys.argv[1:])
