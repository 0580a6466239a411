"""Whether a tensor that differs from the layer it is named after is that layer's at all."""

import keras

from tflite.compare.graph import call

# How much larger the error may be that Keras's value of a layer causes right behind it, for the
# layer's own tensor to count as not used there: twice that of the tensor, and half of what
# rounding may do.
_TIMES, _PLUS = 2.0, 0.5


class Judgement:
    """One pass over a graph with two values for what is in doubt: the file's and Keras's.

    The layers right behind a doubtful one tell. If they come out right from the
    file's value and not from Keras's, the file goes on with it, and it is
    wrong. If they come out as well from Keras's, the name misleads.
    """

    def __init__(self, run, matching):
        self._run = run
        self._matches = matching.by_value
        self._decomposed = matching.decomposed
        self._verdicts = {}
        self._given, self._other = {}, {}
        self._doubts = {}  # For a value in doubt, the suspects that it comes from.

    def pass_on(self, batch) -> dict[int, str]:
        """Judges by one batch of `(inputs, contents)`.

        Returns:
            For the value of each layer that differs `"wrong"`, `"misled"`,
            `"undecided"`, or `"other"` amid another decomposition.
        """
        inputs, contents = batch
        self._given |= enumerate(map(keras.ops.convert_to_tensor, inputs))
        for place, step in enumerate(self._run.graph.steps):
            self._step(step, contents)
            self._run.forget(place, self._given, self._other)
        return {
            value: verdict.removesuffix(" unless misled")
            for value, verdict in self._verdicts.items()
        }

    def _step(self, step, contents):
        value = step.outputs[0]
        own = call(step, self._given)
        doubts = set().union(*(self._doubts.get(index, ()) for index in step.inputs))
        other = call(step, self._given | self._other) if doubts else own
        self._given |= dict(zip(step.outputs, own, strict=True))
        one = self._matches.get(value)
        if one is None:
            if doubts:
                self._other |= dict(zip(step.outputs, other, strict=True))
                self._doubts |= dict.fromkeys(step.outputs, doubts)
            return
        figures = self._run.figures(one, own[0], contents[one.tensor])
        right = figures.right
        if doubts:
            from_keras = self._run.figures(one, other[0], contents[one.tensor])
            self._decide(doubts, figures, from_keras)
            right |= from_keras.right
        self._given[value] = self._run.content(one, contents, own[0])
        if right:
            return
        if value in self._decomposed:
            self._verdicts[value] = "other"
            self._given[value] = own[0]
        elif one.certain:
            self._verdicts[value] = "wrong"
        else:
            # Another's tensor would hardly have most channels in common with it.
            few = 2 * figures.wrong_channels < figures.channels
            self._verdicts[value] = "wrong unless misled" if few else "undecided"
            self._other[value] = other[0]
            self._doubts[value] = {value}

    def _decide(self, doubts, from_file, from_keras):
        """What the layer behind suspects says of them; one that needs the file's value wins."""
        limit = _TIMES * from_file.error + _PLUS * from_file.rounding_error
        if from_file.right:
            verdict = "misled" if from_keras.error <= limit else "wrong"
        elif from_keras.right:
            verdict = "misled"
        else:
            return
        for suspect in doubts:
            if self._verdicts[suspect] != "wrong":
                self._verdicts[suspect] = verdict
