"""A Keras model as a flat list of calls, read from its public config alone."""

from care_keras.graph.steps import Graph, Ref, Step, inputs_of
from care_keras.graph.unfold import functional_form, input_structure, unfold

__all__ = ["Graph", "Ref", "Step", "functional_form", "input_structure", "inputs_of", "unfold"]
