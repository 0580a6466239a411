"""CARE models: configs, backbone, classifier and the functions that build them."""

import lazy_loader

# The names are in __init__.pyi, each loaded when it is first asked for: records need no Keras.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
