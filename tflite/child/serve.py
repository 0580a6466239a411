"""The worker's side: `serve.py FILE LIBRARY` calls `work(request)` of a Python file of ours.

The request is JSON on stdin, and each answer a line of JSON on stdout: the one
dictionary that `work` returns, or those that it yields. An error it raises is
`{"error": ...}`. It runs wherever Python does, so it imports nothing else; LIBRARY is the
folder of `care_keras`, which lies elsewhere than `tflite` where both are installed.
"""

import json
import os
import runpy
import sys
import types

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    # Of the library, modules by themselves, such as `care_keras.litert.file`: its `__init__` would
    # bring Keras along, which takes memory, and which an emulated Python lacks.
    library = types.ModuleType("care_keras")
    library.__path__ = [sys.argv[2]]
    sys.modules["care_keras"] = library
    sys.path.insert(0, _ROOT)
    # What the runtime prints belongs to stderr, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work = runpy.run_path(sys.argv[1])["work"]

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    try:
        result = work(request)
        for answer in [result] if isinstance(result, dict) else result:
            say(answer)
    except (ValueError, RuntimeError) as error:
        say({"error": " ".join(str(error).split())})


if __name__ == "__main__":
    main()
