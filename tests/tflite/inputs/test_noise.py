import numpy as np

from care_keras.litert.tensor import TensorInfo
from tflite.inputs.noise import noise_beside


def test_noise_is_the_same_for_an_image():
    tensors = [
        TensorInfo("extra", (2, 5), np.dtype(np.float32), 0.0, 0, 7),
        TensorInfo("codes", (2, 3), np.dtype(np.int8), 0.1, 0, 8),
        TensorInfo("step", (), np.dtype(np.float32), 0.0, 0, 9),
    ]
    extra, codes, step = noise_beside(tensors, 2, range(4), seed=1)
    assert (extra.shape, codes.shape, step.shape) == ((4, 5), (4, 3), (4,))
    assert codes.dtype == np.int8 and len(np.unique(extra)) == 20
    for array, later in zip((extra, codes, step), noise_beside(tensors, 2, [2, 3], 1), strict=True):
        np.testing.assert_array_equal(array[2:], later)
    assert not np.array_equal(extra, noise_beside(tensors[:1], 2, range(4), seed=2)[0])
