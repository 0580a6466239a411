"""What the primitives compute, in NumPy and float64, by definition."""

import math

import numpy as np

_LIMITS = {
    "linear": (-np.inf, np.inf),
    "relu": (0.0, np.inf),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def activate(x, activation):
    return np.clip(x, *_LIMITS[activation])


def windows(x, size, strides=(1, 1), padding="valid", dilation_rate=(1, 1), fill=0.0):
    """What each tap of a window sees: `(batch, height, width, channels, *size)`.

    TensorFlow's padding: with "same" the outputs are as many as steps fit into
    the image, and the odd pixel of padding comes last.
    """
    reach = [(taps - 1) * step + 1 for taps, step in zip(size, dilation_rate, strict=True)]
    before = [(0, 0)]
    for length, taps, stride in zip(x.shape[1:3], reach, strides, strict=True):
        outputs = -(-length // stride)
        missing = max((outputs - 1) * stride + taps - length, 0) if padding == "same" else 0
        before.append((missing // 2, missing - missing // 2))
    x = np.pad(x, [*before, (0, 0)], constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    return seen[:, :: strides[0], :: strides[1], :, :: dilation_rate[0], :: dilation_rate[1]]


def conv(x, kernel, bias, groups=1, activation="linear", **window):
    seen = windows(x, kernel.shape[:2], **window)
    parts = zip(np.split(seen, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
    sums = [np.einsum("bhwcij,ijco->bhwo", part, weights) for part, weights in parts]
    return activate(np.concatenate(sums, axis=-1) + bias, activation)


def depthwise(x, kernel, bias, padding="same", activation="linear", **window):
    seen = windows(x, kernel.shape[:2], padding=padding, **window)
    sums = np.einsum("bhwcij,ijcm->bhwcm", seen, kernel)
    return activate(sums.reshape(*sums.shape[:3], -1) + bias, activation)


def transposed_conv(x, kernel, bias, strides=(2, 2), padding="valid", activation="linear"):
    """Each pixel adds its kernel to the output; the gradient of `conv` of these windows."""
    size = kernel.shape[:2]
    batch, height, width, _ = x.shape
    full = [
        (n - 1) * stride + max(taps, stride)
        for n, stride, taps in zip((height, width), strides, size, strict=True)
    ]
    sums = np.zeros((batch, *full, kernel.shape[2]))
    for i in range(size[0]):
        for j in range(size[1]):
            rows = slice(i, i + (height - 1) * strides[0] + 1, strides[0])
            columns = slice(j, j + (width - 1) * strides[1] + 1, strides[1])
            sums[:, rows, columns] += np.einsum("bhwc,oc->bhwo", x, kernel[i, j])
    if padding == "same":
        first = [max(taps - stride, 0) // 2 for taps, stride in zip(size, strides, strict=True)]
        rows, columns = (
            slice(start, start + n * stride)
            for start, n, stride in zip(first, (height, width), strides, strict=True)
        )
        sums = sums[:, rows, columns]
    return activate(sums + bias, activation)


def max_pool(x, size, **window):
    return windows(x, size, fill=-np.inf, **window).max(axis=(-2, -1))


def average_pool(x, size, **window):
    return np.nanmean(windows(x, size, fill=np.nan, **window), axis=(-2, -1))


def resized_places(length, n, coordinates):
    """Where pixels of a side are taken, by ONNX's definitions."""
    if coordinates == "align_corners":
        return np.linspace(0.0, length - 1.0, n)
    return (
        (np.arange(n) + 0.5) * (length / n) - 0.5
        if coordinates == "half_pixel"
        else (np.arange(n) * (length / n))
    )


def nearest(x, height, width, coordinates="half_pixel"):
    rows, columns = (
        # What lies between two is the later one's; of edges, the one that it lies on.
        np.floor(
            resized_places(length, n, coordinates) + (0.0 if coordinates == "asymmetric" else 0.5)
        ).astype(int)
        for n, length in zip((height, width), x.shape[1:3], strict=True)
    )
    return x[:, rows][:, :, columns]


def bilinear(x, height, width, coordinates="half_pixel"):
    for axis, n in ((1, height), (2, width)):
        length = x.shape[axis]
        places = np.clip(resized_places(length, n, coordinates), 0.0, length - 1.0)
        first = places.astype(int)
        second = np.minimum(first + 1, length - 1)
        share = (places - first).reshape((-1,) + (1,) * (x.ndim - axis - 1))
        x = x.take(first, axis) * (1.0 - share) + x.take(second, axis) * share
    return x


def gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def gelu_tanh(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def hard_sigmoid(x):
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def softmax(x):
    powers = np.exp(x)
    return powers / powers.sum(axis=-1, keepdims=True)
