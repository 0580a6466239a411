"""Which packages are installed, and where: the rest is in setup.cfg."""

from setuptools import find_packages, setup

# `tflite` is also a name of PyPI's: the tools lie where only the console commands find them.
TOOLS = "care_keras_commands.tools"

setup(
    packages=[
        *find_packages(include=["care_keras", "care_keras.*", "care_keras_commands"]),
        *(
            f"{TOOLS}.{name}"
            for name in find_packages(
                include=["tflite", "tflite.*", "android_bench", "android_bench.*"]
            )
        ),
    ],
    package_dir={f"{TOOLS}.{name}": name for name in ("tflite", "android_bench")},
)
