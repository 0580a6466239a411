"""Opens a .tflite file with LiteRT and prints its nodes as JSON: `probe.py MODEL`.

A program of its own, as a damaged file can make the runtime abort. It imports
nothing but the runtime, so that it starts quickly.
"""

import json
import sys


def nodes(path: str) -> list[tuple[str, list[int], list[int]]]:
    """`(operator, inputs, outputs)` of each node, XNNPACK's partitions last as `DELEGATE`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    # `_get_ops_details` has the same, but fails on tensors of types that NumPy lacks.
    native = interpreter._interpreter
    return [
        (native.NodeName(i), native.NodeInputs(i).tolist(), native.NodeOutputs(i).tolist())
        for i in range(native.NumNodes())
    ]


if __name__ == "__main__":
    try:
        result = {"nodes": nodes(sys.argv[1])}
    except (ValueError, RuntimeError) as error:
        result = {"error": str(error).strip().splitlines()[0]}
    print(json.dumps(result))
