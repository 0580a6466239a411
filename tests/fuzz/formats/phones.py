"""What a phone's shell answers as it is asked what it is and how it is."""

import json

from android_bench.phone.device import describe
from android_bench.phone.state import read_state
from tests.fuzz.formats import Format
from tests.fuzz.mutate import text
from tflite.child.program import Finished

_CPU, _THERMAL = "/sys/devices/system/cpu", "/sys/class/thermal"
_PROPERTIES = """[ro.product.manufacturer]: [Nobody]
[ro.product.model]: [Fake 1]
[ro.soc.manufacturer]: [Fakecomm]
[ro.soc.model]: [FK8000]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.build.fingerprint]: [nobody/fake/fake:14/TEST/1:user/test-keys]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a]
"""
_FILES = f"""{_CPU}/possible:0-3
{_CPU}/cpu0/cpufreq/cpuinfo_max_freq:1800000
{_CPU}/cpu3/cpufreq/cpuinfo_max_freq:2400000
{_CPU}/cpu3/cpufreq/scaling_cur_freq:1200000
{_CPU}/cpu3/cpufreq/scaling_max_freq:2400000
{_CPU}/cpu3/cpufreq/scaling_governor:schedutil
{_THERMAL}/thermal_zone0/type:cpu-1-0-usr
{_THERMAL}/thermal_zone0/temp:41500
/proc/meminfo:MemTotal:        7864320 kB
/proc/version:Linux version 5.10.0-fake
"""
_THERMALSERVICE = """Thermal Status: 0
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=cpu0, mStatus=0}
Current temperatures from HAL:
	Temperature{mValue=41.5, mType=0, mName=cpu0, mStatus=0}
	Temperature{mValue=39.5, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
"""
_ANSWERS = {
    "getprop": _PROPERTIES,
    "grep": _FILES,
    "ls": "thermal_zone0\ncooling_device0\n",
    "dumpsys SurfaceFlinger": "GLES: Fakecomm, Fakeno (TM) 42, OpenGL ES 3.2 V@1\n",
    "dumpsys battery": "  USB powered: true\n  level: 80\n  temperature: 290\n",
    "dumpsys thermalservice": _THERMALSERVICE,
    "dumpsys power": "  mWakefulness=Awake\n",
    "settings": "0\n",
}


class _Phone:
    """A phone of which nothing but its answers is known."""

    serial = "FAKE"

    def __init__(self, answers):
        self._answers = answers

    def shell(self, arguments, timeout_seconds=0):
        found = self._answers.get(arguments[0], self._answers.get(" ".join(arguments[:2]), ""))
        return Finished(0, found, "")


def _mutate(rng, content, others):
    answers = json.loads(content)
    name = rng.choice(list(answers))
    mutant = text.mutate(rng, answers[name].encode(), [one.encode() for one in _ANSWERS.values()])
    answers[name] = mutant.decode(errors="replace")
    return json.dumps(answers).encode()


def _read(path):
    phone = _Phone(json.loads(path.read_bytes()))
    device = describe(phone)
    device.describe_cores()
    read_state(phone, device)


FORMATS = {
    "phones": Format(".json", lambda: {"phone": json.dumps(_ANSWERS).encode()}, _mutate, _read)
}
