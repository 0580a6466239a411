"""Published PyTorch checkpoints -> Keras; `python -m care_keras.weights` is its command."""

import lazy_loader

# The names are in __init__.pyi, each loaded when it is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
