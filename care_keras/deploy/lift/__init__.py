"""From a .tflite file, whoever made it, to the deploy form."""

import os

from care_keras.primitives.deploy_model import DeployModel


def lift(model: str | os.PathLike | bytes) -> DeployModel:
    """The deploy form of a float .tflite file: primitives for operators, weights for constants.

    Takes files with float32 weights and with float16 ones, of TensorFlow's
    converter, litert-torch, MediaPipe or anyone. What the file does with its
    one image the result does with each of a batch: the first axis of every
    input is open where the file has it open or 1, and the first of every
    output. Layers have the names of the file's tensors, as far as Keras allows
    them; inputs, and outputs if there are several, those of its signature.
    Nothing in the file is executed.

    Args:
        model: Path of the file, or its content.

    Returns:
        A `DeployModel`: of several inputs it takes a list, and several outputs
        are a dict by name.

    Raises:
        ValueError: If the file is no valid TFLite model, or has what cannot be
            written on primitives; all of it is named.

    Example:
    ```python
    deployed = care_keras.deploy.lift("mobilenet.tflite")
    quantized = care_keras.quantization.quantize(deployed)
    ```
    """
    # The reader of files is loaded by who reads one.
    from care_keras.deploy.lift.network import Network

    return Network(model).deploy_model()
