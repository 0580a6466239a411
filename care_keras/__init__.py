"""CARE Transformer in Keras 3: layers, models, training and conversion to TFLite.

Importing the package registers its classes, so that
`keras.models.load_model("model.keras")` needs no `custom_objects`. The
project's own commands import what they need when they need it: they answer
before Keras is loaded.
"""

import lazy_loader

from care_keras.console.startup_messages import is_command, quiet_commands

__version__ = "0.1.0"

# The names are in __init__.pyi, each loaded when it is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

quiet_commands()  # Before the first import of Keras.
if not is_command():
    import care_keras.loading  # noqa: F401
