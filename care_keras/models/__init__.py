"""CARE models: configs, backbone, classifier and the functions that build them."""

from care_keras.models.ablations import ABLATIONS, CONFIGS, names_of_models
from care_keras.models.care_backbone import CAREBackbone
from care_keras.models.care_classifier import CAREClassifier
from care_keras.models.config import BASE_CONFIGS, CAREConfig, Preprocessing
from care_keras.models.factories import CARE_S0, CARE_S1, CARE_S2, CARE_Nano, build_model
from care_keras.models.predictions import decode_predictions, preprocess_input
from care_keras.models.presets import PRESETS, load_preset

__all__ = [
    "ABLATIONS",
    "BASE_CONFIGS",
    "CONFIGS",
    "PRESETS",
    "CAREBackbone",
    "CAREClassifier",
    "CAREConfig",
    "CARE_Nano",
    "CARE_S0",
    "CARE_S1",
    "CARE_S2",
    "Preprocessing",
    "build_model",
    "decode_predictions",
    "load_preset",
    "names_of_models",
    "preprocess_input",
]
