"""CARE Transformer in Keras 3: layers, models, training and conversion to TFLite.

Importing the package registers its classes, so that
`keras.models.load_model("model.keras")` needs no `custom_objects`.
"""

from care_keras.console.startup_messages import quiet_commands

quiet_commands()  # Before the first import of Keras.

from care_keras import layers, models  # noqa: E402
from care_keras.models import (  # noqa: E402
    CARE_S0,
    CARE_S1,
    CARE_S2,
    CARE_Nano,
    CAREBackbone,
    CAREClassifier,
    decode_predictions,
    load_preset,
    preprocess_input,
)

__version__ = "0.1.0"

__all__ = [
    "CAREBackbone",
    "CAREClassifier",
    "CARE_Nano",
    "CARE_S0",
    "CARE_S1",
    "CARE_S2",
    "decode_predictions",
    "layers",
    "load_preset",
    "models",
    "preprocess_input",
]
