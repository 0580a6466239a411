"""The programs of a fake phone, as far as they are used."""

import hashlib
import re
import shutil

from tests.android_bench import fake_phone_programs
from tests.android_bench.fake_phone_programs import writer


def run(phone, words: list[str], stream, mask: int | None = None) -> int:
    """Runs a command, writes its output to the stream, returns its exit code."""
    name, arguments = words[0], words[1:]
    out, err = writer(stream, 1), writer(stream, 2)
    if "/" in name:
        return fake_phone_programs.execute(phone, words, stream, mask)
    command = globals().get(f"_{name}_command")
    if command is None or (name == "flock" and phone.faults.without_flock):
        err(f"sh: {name}: inaccessible or not found\n")
        return 127
    return command(phone, arguments, out, err, stream, mask)


def _getprop_command(phone, arguments, out, err, stream, mask):
    properties = {
        "ro.product.manufacturer": "Nobody",
        "ro.product.model": phone.model,
        "ro.soc.manufacturer": "Fakecomm",
        "ro.soc.model": "FK8000",
        "ro.board.platform": "fake",
        "ro.build.version.release": "14",
        "ro.build.version.sdk": "34",
        "ro.build.fingerprint": "nobody/fake/fake:14/TEST/1:user/test-keys",
        "ro.product.cpu.abilist": phone.abi
        + (",armeabi-v7a,armeabi" if phone.abi == "arm64-v8a" else ""),
        "sys.boot_completed": "1",
    }
    if arguments:
        out(properties.get(arguments[0], "") + "\n")
    else:
        out("".join(f"[{name}]: [{value}]\n" for name, value in properties.items()))
    return 0


def _grep_command(phone, arguments, out, err, stream, mask):
    """`grep -sH PATTERN FILE...` with an empty pattern or a plain one."""
    assert arguments[0] == "-sH"
    pattern, found = arguments[1], False
    text = ""
    for path in arguments[2:]:
        if path == "/proc/self/status":
            cores = range(len(phone.core_khz))
            allowed = [core for core in cores if mask is None or mask >> core & 1]
            lines = [f"Cpus_allowed_list:\t{','.join(map(str, allowed))}"]
        else:
            try:
                lines = phone.path(path).read_text().splitlines()
            except OSError:
                continue
        for line in lines:
            if pattern in line:
                found = True
                text += f"{path}:{line}\n"
    out(text)
    return 0 if found else 1


def _ls_command(phone, arguments, out, err, stream, mask):
    path = phone.path(arguments[-1])
    if not path.exists():
        err(f"ls: {arguments[-1]}: No such file or directory\n")
        return 1
    out("".join(f"{entry.name}\n" for entry in sorted(path.iterdir())))
    return 0


def _mkdir_command(phone, arguments, out, err, stream, mask):
    phone.path(arguments[-1]).mkdir(parents="-p" in arguments, exist_ok="-p" in arguments)
    return 0


def _rm_command(phone, arguments, out, err, stream, mask):
    for name in arguments:
        if name.startswith("-"):
            continue
        path = phone.path(name)
        assert phone.path("/data/local/tmp") in path.parents, f"rm of {name}"
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return 0


def _sha256sum_command(phone, arguments, out, err, stream, mask):
    try:
        content = phone.path(arguments[0]).read_bytes()
    except OSError:
        err(f"sha256sum: {arguments[0]}: No such file or directory\n")
        return 1
    out(f"{hashlib.sha256(content).hexdigest()}  {arguments[0]}\n")
    return 0


def _df_command(phone, arguments, out, err, stream, mask):
    size = 1 << 30 if phone.faults.storage_bytes is None else phone.faults.storage_bytes
    free = max(0, size - phone._stored_bytes())
    out(
        "Filesystem     1K-blocks    Used Available Use% Mounted on\n"
        f"/dev/fake       {size // 1024} 0 {free // 1024}  3% /data\n"
    )
    return 0


def _dumpsys_command(phone, arguments, out, err, stream, mask):
    if arguments == ["battery"]:
        out(
            "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n"
            f"  level: {phone.battery_level}\n  scale: 100\n"
            f"  temperature: {int(phone.temperature() * 10)}\n"
        )
    elif arguments == ["power"]:
        out(f"POWER MANAGER\n  mWakefulness={'Awake' if phone.screen_on else 'Asleep'}\n")
    elif arguments == ["thermalservice"]:
        celsius = phone.temperature()
        phone.heat(celsius - phone.cooling_per_look)
        out(
            f"IsStatusOverride: false\nThermal Status: {2 if phone.throttled else 0}\n"
            "Cached temperatures:\n"
            "\tTemperature{mValue=99.0, mType=0, mName=cpu0, mStatus=0}\n"
            "HAL Ready: true\nCurrent temperatures from HAL:\n"
            f"\tTemperature{{mValue={celsius:.1f}, mType=0, mName=cpu0, mStatus=0}}\n"
            f"\tTemperature{{mValue={celsius - 2:.1f}, mType=3, mName=skin, mStatus=0}}\n"
            "Current cooling devices from HAL:\n"
        )
    elif arguments == ["SurfaceFlinger"]:
        out("Build configuration: x\nGLES: Fakecomm, Fakeno (TM) 42, OpenGL ES 3.2 V@1\n")
    return 0


def _svc_command(phone, arguments, out, err, stream, mask):
    assert arguments[:2] == ["power", "stayon"]
    phone.settings["global", "stay_on_while_plugged_in"] = "7" if arguments[2] == "true" else "0"
    return 0


def _input_command(phone, arguments, out, err, stream, mask):
    phone.screen_on = phone.screen_on or arguments == ["keyevent", "KEYCODE_WAKEUP"]
    return 0


def _settings_command(phone, arguments, out, err, stream, mask):
    key = arguments[1], arguments[2]
    if arguments[0] == "put":
        phone.settings[key] = arguments[3]
    else:
        out(phone.settings.get(key, "null") + "\n")
    return 0


def _taskset_command(phone, arguments, out, err, stream, mask):
    return run(phone, arguments[1:], stream, int(arguments[0], 16))


def _env_command(phone, arguments, out, err, stream, mask):
    """`env NAME=VALUE... PROGRAM ARGUMENT...`."""
    count = next(number for number, word in enumerate(arguments) if "=" not in word)
    given = dict(word.split("=", 1) for word in arguments[:count])
    return fake_phone_programs.execute(phone, arguments[count:], stream, mask, given)


def _pkill_command(phone, arguments, out, err, stream, mask):
    assert arguments[:2] == ["-KILL", "-f"]
    killed = [one for one in phone.processes if re.search(arguments[2], one.phone_command)]
    for process in killed:
        process.kill()
    return 0 if killed else 1


def _sh_command(phone, arguments, out, err, stream, mask):
    """A script with its arguments: run for real, with paths of the phone's storage."""
    assert arguments[0] == "-c"
    if phone.faults.without_flock:
        err("sh: flock: inaccessible or not found\n")
        return 127
    words = ["/bin/sh", "-c", arguments[1], arguments[2]]
    words += [str(phone.path(one)) if one.startswith("/") else one for one in arguments[3:]]
    if "taskset" in words:
        return fake_phone_programs.run_loop(phone, words, stream, arguments)
    return fake_phone_programs.spawn(phone, words, stream, " ".join(arguments), stdin=True)
