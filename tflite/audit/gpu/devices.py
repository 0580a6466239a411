"""Lists this machine's Vulkan devices as JSON: `devices.py [ICD]`.

ICD is a driver's description, in place of those of the system. A program of its
own, as it runs drivers. It asks the Vulkan loader by ctypes;
structures and numbers are those of the Vulkan 1.2 specification.
"""

import ctypes
import json
import os
import sys

_TYPES = {0: "other", 1: "integrated GPU", 2: "discrete GPU", 3: "virtual GPU", 4: "CPU"}
_API_VERSION_1_2 = (1 << 22) | (2 << 12)
_PROPERTIES_2, _DRIVER_PROPERTIES = 1000059001, 1000196000
_FEATURES_2, _FLOAT16_INT8_FEATURES = 1000059000, 1000082000


class _ApplicationInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("application", ctypes.c_char_p),
        ("application_version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    )


class _InstanceCreateInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


class _DriverProperties(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("driver", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        ("info", ctypes.c_char * 256),
        ("conformance", ctypes.c_uint8 * 4),
    )


class _Properties(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("api_version", ctypes.c_uint32),
        ("driver_version", ctypes.c_uint32),
        ("vendor", ctypes.c_uint32),
        ("device", ctypes.c_uint32),
        ("device_type", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        # The rest of VkPhysicalDeviceProperties, 548 bytes: more than that, to be safe.
        ("rest", ctypes.c_uint64 * 128),
    )


class _Float16Features(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("float16", ctypes.c_uint32),
        ("int8", ctypes.c_uint32),
    )


class _Features(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("features", ctypes.c_uint32 * 64),
    )


def devices() -> list[dict]:
    """Name, type and driver of each device, and whether it computes in half precision.

    Raises:
        OSError: If there is no Vulkan loader, or it finds no driver.
    """
    vulkan = ctypes.CDLL("libvulkan.so.1")
    application = _ApplicationInfo(api_version=_API_VERSION_1_2)
    create_info = _InstanceCreateInfo(type=1, application=ctypes.pointer(application))
    instance = ctypes.c_void_p()
    code = vulkan.vkCreateInstance(ctypes.byref(create_info), None, ctypes.byref(instance))
    if code:
        raise OSError(f"vkCreateInstance gives {code}")
    count = ctypes.c_uint32()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    return [_describe(vulkan, ctypes.c_void_p(handle)) for handle in handles]


def _describe(vulkan, handle):
    driver = _DriverProperties(type=_DRIVER_PROPERTIES)
    properties = _Properties(type=_PROPERTIES_2, next=ctypes.addressof(driver))
    vulkan.vkGetPhysicalDeviceProperties2(handle, ctypes.byref(properties))
    float16 = _Float16Features(type=_FLOAT16_INT8_FEATURES)
    features = _Features(type=_FEATURES_2, next=ctypes.addressof(float16))
    vulkan.vkGetPhysicalDeviceFeatures2(handle, ctypes.byref(features))
    info, number = driver.info.decode(errors="replace"), properties.driver_version
    version = f"{number >> 22}.{number >> 12 & 0x3FF}.{number & 0xFFF}"
    return {
        "name": properties.name.decode(errors="replace"),
        "type": _TYPES.get(properties.device_type, "other"),
        "driver": f"{driver.name.decode(errors='replace')} {info or version}".strip(),
        "half_precision": bool(float16.float16),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["VK_ICD_FILENAMES"] = sys.argv[1]
    try:
        print(json.dumps({"devices": devices()}))
    except OSError as error:
        print(json.dumps({"error": str(error)}))
