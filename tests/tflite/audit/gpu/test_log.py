"""Excerpts of what LiteRT 2.3.0 printed on Debian 12 with libvulkan1 1.3.239."""

from tflite.audit.gpu.log import Adapter, parse_gpu_log

START = """\
INFO: [gpu_registry.cc:130] Attempting to load GPU accelerator(libLiteRtWebGpuAccelerator.so).
INFO: [accelerator_registry.cc:54] RegisterAccelerator: ptr=0x55b44f45bf30, name=GPU WebGPU
WARNING: [npu_registry.cc:34] NPU accelerator could not be loaded and registered: NotFound.
INFO: [delegate_webgpu.cc:342] Create WebGPU environment (use_low_power=0)
"""
ADAPTER = """\
WARNING: Logging before InitGoogle() is written to STDERR
I0000 00:00:1795401667.697415   14342 environment.cc:532] Selected adapter: SwiftShader Device \
(Subzero), arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software
"""
REFUSED = """\
ERROR: Following operations are not supported by GPU delegate:
COMPLEX_ABS: Operation is not supported.
RESHAPE: Tensor "Reshape" has bad input dims size: 6.
2 operations will run on the GPU, and the remaining 4 operations will run on the CPU.
"""


def test_full_acceleration():
    log = parse_gpu_log(START + ADAPTER)
    assert log.accelerator_loaded and log.no_adapter is None and log.fatal is None
    assert log.adapter == Adapter(
        "SwiftShader Device (Subzero)", "google", "Vulkan", "CPU / Software"
    )
    assert (log.refused, log.on_gpu, log.on_cpu, log.complaints) == ((), None, None, ())


def test_refused_operators_are_told_once():
    # The file is compiled again with the CPU beside the GPU, and says it all again.
    log = parse_gpu_log(START + ADAPTER + REFUSED + REFUSED)
    assert log.refused == (
        ("COMPLEX_ABS", "Operation is not supported."),
        ("RESHAPE", 'Tensor "Reshape" has bad input dims size: 6.'),
    )
    assert (log.on_gpu, log.on_cpu) == (2, 4)


def test_nothing_on_the_gpu():
    log = parse_gpu_log(
        "ERROR: Following operations are not supported by GPU delegate:\n"
        "WHILE: Operation is not supported.\n"
        "No operations will run on the GPU, and all 1 operations will run on the CPU.\n"
    )
    assert (log.on_gpu, log.on_cpu) == (0, 1) and log.refused[0][0] == "WHILE"


def test_no_loader_and_no_driver():
    ending = "ERROR: [delegate_webgpu.cc:359] Failed to initialize: INTERNAL: No adapters found\n"
    for line in (
        "Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file",
        "vkCreateInstance: Found no drivers!",
        "Vulkan shaderUniform*ArrayDynamicIndexing required.",
    ):
        log = parse_gpu_log(f"{START}Warning: {line}\n    at operator()\n\n{ending}")
        assert log.adapter is None and log.no_adapter == line


def test_no_accelerator():
    log = parse_gpu_log(
        "WARNING: [gpu_registry.cc:160] GPU accelerator could not be loaded and registered.\n"
    )
    assert not log.accelerator_loaded


def test_a_failed_check():
    log = parse_gpu_log(
        "F0000 00:00:1795401667.741285   14342 model.cc:218] Check failed: !IsInput(consumer, "
        "value) Node 373 is already a consumer of the value 374\n"
    )
    assert log.fatal.startswith("Check failed: ") and log.fatal.endswith("of the value 374")


def test_complaints_leave_npus_out():
    log = parse_gpu_log(
        START + "WARNING: [compiler_plugin.cc:312] Failed to load plugin at: /folder/plugin.so\n"
        "ERROR: Node number 76 (GATHER) failed to invoke.\n"
        "ERROR: [litert_compiled_model.cc:164] Failed to invoke\n"
    )
    assert log.complaints == ("Node number 76 (GATHER) failed to invoke", "Failed to invoke")
    assert parse_gpu_log("").complaints == ()
