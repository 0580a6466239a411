"""The comparison of a .tflite file with a Keras model: end to end and layer by layer."""

import contextlib
import dataclasses
import math

import numpy as np

from care_keras.console.optional import MissingDependencyError
from care_keras.console.progress import progress, say
from care_keras.convert.conversion import default_rewrites, int8_form
from care_keras.deploy import fuse
from care_keras.graph import functional_form
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import is_quantized
from tflite.compare.feeds import Feed, chunks
from tflite.compare.figures import Criterion
from tflite.compare.graph import value_shapes
from tflite.compare.layers import LayerComparisons, compare_layers
from tflite.compare.names import count_named, match
from tflite.compare.opened import Pair
from tflite.compare.outputs import OutputComparison, compare_outputs, run_file
from tflite.compare.tensors import TensorReader
from tflite.compare.unfold import unfold


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        output: End to end; of several outputs the worst.
        layers: Layer by layer, `None` if the Keras model is no graph of layers.
        layer_images: Images that the layers were compared on.
        layer_images_identical: How many of them gave, while tensors were read,
            the output that the file gives otherwise, to the bit.
        reference: What the layers are those of: `"deploy form"`.
        criterion: When a layer counts as wrong.
        outputs: All outputs end to end.
        unit: What both were run on: `"images"`, or `"examples"` of any inputs.
    """

    output: OutputComparison
    layers: LayerComparisons | None
    layer_images: int
    layer_images_identical: int
    reference: str
    criterion: Criterion
    outputs: tuple[OutputComparison, ...]
    unit: str = "images"


def compare(
    pair: Pair, feed: Feed, layer_images: int, min_snr_db: float | None = None
) -> Comparison:
    """Runs both on all images, or other examples, and reads every layer on some of them.

    Args:
        pair: The models.
        feed: The examples.
        layer_images: How many of them, evenly spread, the layers are read on.
        min_snr_db: Noise that makes a layer wrong, in place of the usual one.

    Raises:
        ValueError: If an image cannot be read, or a layer of the Keras model has
            another shape in the file.
        FileFailsError: If the file does not run on an image.
    """
    criterion = pair.criterion
    if min_snr_db is not None:
        criterion = dataclasses.replace(criterion, min_snr_db=min_snr_db)
    spread = np.unique(np.linspace(0, len(feed) - 1, layer_images).astype(int))
    layers, identical, reference = _compare_layers(pair, feed.take(spread), criterion)
    shown = progress(
        chunks(feed, pair.chunk_examples),
        f"comparing outputs, batch of {pair.chunk_examples}",
        math.ceil(len(feed) / pair.chunk_examples),
    )
    outputs = compare_outputs(pair, shown, len(feed), criterion)
    return Comparison(
        min(outputs, key=lambda output: output.rank),
        layers,
        len(spread),
        identical,
        reference,
        criterion,
        tuple(outputs),
        feed.unit,
    )


def _compare_layers(pair, feed, criterion):
    """`(LayerComparisons, examples whose output is the same to the bit, name of the form)`."""
    reference, model, graph = _best_form(pair)
    if graph is None:
        return None, 0, reference
    reader = TensorReader(pair.litert, pair.file)
    batch = pair.litert.batch
    some = feed.read(range(min(batch, len(feed)))).filled(batch)
    outputs = {name: pair.litert.outputs[name].index for name in pair.outputs.values()}
    matching = match(
        graph,
        pair.file,
        model,
        lambda: value_shapes(graph, some.keras),
        reader.shapes(some.file),
        {graph.outputs[place]: outputs[name] for place, name in pair.outputs.items()},
    )
    tensors = sorted({one.tensor for one in matching.by_value.values()})
    identical = {}

    def batches():
        for place, fed in enumerate(chunks(feed, pair.chunk_examples)):
            examples, fed = len(fed), fed.filled(batch)
            contents = reader.read(fed.file, {*tensors, *outputs.values()})
            shipped = run_file(pair.litert, fed.file)
            identical[place] = sum(
                all(
                    shipped[name][example].tobytes() == contents[index][example].tobytes()
                    for name, index in outputs.items()
                )
                for example in range(examples)
            )
            yield fed.keras, contents

    say(f"comparing layers on {len(feed)} {feed.unit}")
    layers = compare_layers(graph, pair.file, matching, batches, criterion)
    return layers, sum(identical.values()), reference


def _best_form(pair):
    """The form of the Keras model that the file's tensors are named after: `(name, it, graph)`."""
    model = pair.keras_model
    if is_quantized(model):
        name = "quantized form"
    else:
        name = "deploy form" if isinstance(model, DeployModel) else "graph"
    forms = [(name, model)]
    if functional_form(model) is not None and not isinstance(model, DeployModel):
        deployed = fuse(model)
        forms = [
            ("deploy form", deployed),
            ("deploy form of float32 files", fuse(model, default_rewrites("float32"))),
            ("deploy form of int8 files for i8mm", fuse(model, default_rewrites("int8", "i8mm"))),
            *forms,
        ]
        if deployed.foreign_operations and pair.kind == "int8":
            # What wrote them is a float file of TensorFlow's converter; a file from elsewhere may
            # have layers that it does not take.
            with contextlib.suppress(ValueError, MissingDependencyError):
                record = pair.keras_input and pair.keras_input.preprocessing
                lifted = int8_form(deployed, record)
                forms.append(("deploy form by way of TensorFlow's converter", lifted))
    graphs = [(name, form, unfold(form)) for name, form in forms]
    if any(graph is None for _, _, graph in graphs):
        return graphs[0]
    return max(graphs, key=lambda form: count_named(form[2], pair.file))
