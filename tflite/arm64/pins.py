"""The wheels that run under emulation, each pinned by the sha256 of its ARM64 file.

The sums are those that the package index publishes, for Python 3.11, 3.12 and
3.13 in that order where a wheel is made for one of them; `pip download
--require-hashes` refuses anything else.
"""

_LITERT_DEPENDENCIES = """
numpy==2.4.6
    --hash=sha256:0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47
    --hash=sha256:5f9fb9157b4ce2971008323afe46053787b526ef624fea915b261468a8421a0f
    --hash=sha256:72fbe16c6fac95aedf5937fa873445cec2110be35d8a4e9433d7501fd98dae6b
ml_dtypes==0.6.0
    --hash=sha256:7728c0420ec1c338564fc8b01015ff2d58567e70f17fedce5a0a7c0308c0d5b9
    --hash=sha256:37da32aa97749251025666d62372775019594577b9c9e9cfda83bed48d778fdb
    --hash=sha256:28d676428b104bb9717b0928bc5c5129f2d6b51b6727587cc4289e7bf8713cb5
protobuf==7.36.2
    --hash=sha256:e11e1f0180583a2af89db6a2ecd9e8dc40aa6d2988ca175bfd0e6d12ea72d74e
flatbuffers==25.12.19
    --hash=sha256:7634f50c427838bb021c2d66a3d1168e9d199b0607e6329399f04846d42e20b4
typing_extensions==4.16.0
    --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
tqdm==4.70.1
    --hash=sha256:c293e525e6fef9c20e8728fd4612df02a0aa31bb5fe91ecd93e123b1b7bffa73
backports.strenum==1.2.8
    --hash=sha256:fc297cb26971f7d5e15a478a06a78575197f81daea47975771b1aae996dcccf4
"""

# By the name that `--runtime` takes; requirements as pip reads them.
RUNTIMES = {
    "2.3.0": """
ai-edge-litert==2.3.0
    --hash=sha256:853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae
    --hash=sha256:9891611b23a87cc2ace60e4b5ee9a2ee6f0fb7f395f009470961ae6e6310e1b8
    --hash=sha256:2ab71e4f5dfa65b3882634b42755f455f3e7415630d720200bd792733e15e257
"""
    + _LITERT_DEPENDENCIES,
    "2.1.0": """
ai-edge-litert==2.1.0
    --hash=sha256:92b24d2507fccf5680c26e712c156266dcf64a892df3921dd42f4a7d26527462
    --hash=sha256:e06b7db05d3c5824fd4b56e2318f6858def718780cd90318626b4aa98db7583c
    --hash=sha256:7a807a3236c8cf565e231b6ec331bece3a3f5a17c3c25f88f3e37cfe8668f8d0
"""
    + _LITERT_DEPENDENCIES,
    # TensorFlow Lite's last wheel of its own; there is none for a later Python than 3.11.
    "tflite-2.14.0": """
tflite-runtime==2.14.0
    --hash=sha256:ce9fa5d770a9725c746dcbf6f59f3178233b3759f09982e8b2db8d2234c333b0
numpy==1.26.4
    --hash=sha256:7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e
""",
}

DEFAULT_RUNTIME = "2.3.0"
# An in-order core of many cheap phones, a fast one of 2018 with dot products, and all that qemu
# knows of (matrix multiplication, bfloat16, SVE2).
DEFAULT_CORES = ("cortex-a53", "cortex-a76", "max")
# Those of them that have half-precision arithmetic.
HALF_PRECISION_CORES = ("cortex-a76", "max")

# Tags of the wheels above: glibc 2.34 is in every system that has Python 3.11.
PLATFORMS = tuple(
    f"{name}_aarch64"
    for name in (
        "manylinux_2_34",
        "manylinux_2_31",
        "manylinux_2_28",
        "manylinux_2_27",
        "manylinux_2_17",
        "manylinux2014",
    )
)


def requirements(runtime: str) -> str:
    """Text of a requirements file, one requirement a line.

    Raises:
        ValueError: If there is no such runtime.
    """
    if runtime not in RUNTIMES:
        raise ValueError(
            f"There are the runtimes {', '.join(RUNTIMES)}. Received: runtime={runtime!r}"
        )
    joined = RUNTIMES[runtime].replace("\n    ", " ")
    return "".join(f"{line}\n" for line in joined.splitlines() if line)
