"""A .tflite file on Qualcomm's NPU, without a phone: `python -m tflite.npu --model=M.tflite`.

Compiles the file ahead of time by LiteRT, runs what was compiled in the emulator of
Qualcomm's own libraries on real images, and compares with this machine's CPU: top-1,
share of the same class, SNR, and each operator by itself, the worst first. Exit code
1 where the NPU does not give what the CPU gives, takes nothing or does not run. An
NPU that takes a file whole can still compute something else. Needs the extra `npu`,
which installs the libraries under Qualcomm's licence; see docs/runtimes.md.
"""

import json
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.outputs import write_output
from care_keras.data.image_flags import input_overrides
from care_keras.files import check_readable
from tflite.inputs.json_output import json_output

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_SOC = flags.DEFINE_multi_string("soc", ["SM8650"], "A Qualcomm SoC by its number; give several.")
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 100, "Images, at most.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.", lower_bound=0)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.9,
    "Share of answers (classes, pixels, boxes) that both must have in common.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MIN_SNR_DB = flags.DEFINE_float(
    "min_snr_db", 10.0, "SNR in dB that each output must have against the CPU's."
)
_OPERATORS = flags.DEFINE_bool(
    "operators", True, "Also run each operator by itself, on 2 images: two more compilations."
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "A folder to keep the compiled files in, as NAME_SOC.tflite."
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write the results to.")
_TIMEOUT = flags.DEFINE_float(
    "timeout", 600, "Seconds for compiling, and for one inference.", lower_bound=0.1
)


def main() -> None:
    """The command."""
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value)
    overrides = input_overrides()
    paths = [pathlib.Path(name) for name in dict.fromkeys(_MODEL.value)]
    for path in paths:
        check_readable(path)
    from tflite.npu.compiled import check_soc, require_packages

    require_packages()
    socs = list(dict.fromkeys(_SOC.value))
    for soc in socs:
        check_soc(soc)
    folder = pathlib.Path(_OUTPUT_DIR.value) if _OUTPUT_DIR.value else None
    if folder:
        if folder.exists() and not folder.is_dir():
            raise cli.UserError(f"--output_dir: {folder} is no folder")
        folder.mkdir(parents=True, exist_ok=True)

    from care_keras.data.sources import open_source
    from tflite.npu import report
    from tflite.npu.check import CheckSettings, check_file

    source = open_source(_DATA.value, "test").sample(_SAMPLES.value, _SEED.value)
    results = []
    for path in paths:
        for soc in socs:
            settings = CheckSettings(
                soc=soc,
                seed=_SEED.value,
                overrides=overrides,
                min_agreement=_MIN_AGREEMENT.value,
                min_snr_db=_MIN_SNR_DB.value,
                timeout_seconds=_TIMEOUT.value,
                operators=_OPERATORS.value,
                output_dir=folder,
            )
            results.append(check_file(path, source, settings))
            if results[-1].operators:
                print(f"\n{report.format_operators(results[-1])}")
    print(f"\n{report.format_results(results)}\n\n{report.format_versions()}")
    if output_json:
        records = [report.to_dict(one) for one in results]
        write_output(output_json, json.dumps(records, indent=1) + "\n")
    failed = [_told(one, report) for one in results if not one.passed]
    if failed:
        raise cli.CheckError(f"the NPU does not give what the CPU gives: {'; '.join(failed)}")


def _told(result, report):
    text = f"{result.model.name} on {result.soc}: {result.verdict}"
    if result.failure:
        return text
    if result.verdict == "wrong" and result.operators:
        return f"{text}; {report.format_culprits(result)}"
    return text


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
