"""Classifies images with MediaPipe Tasks, in a process of its own.

For `tflite.child.worker`; it imports NumPy and MediaPipe alone.
"""

import numpy as np


def work(request: dict) -> dict:
    """Runs a file on every image.

    Args:
        request: `model`, a path; `images`, a .npy file of uint8 RGB images of
            the file's input size; `scores`, a .npy file that is written, of
            shape `(images, classes)`.

    Returns:
        `version`, and `labels`, the names of the classes as MediaPipe read them.

    Raises:
        Exception: What MediaPipe says of a file that it does not take.
    """
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    images = np.load(request["images"], mmap_mode="r", allow_pickle=False)
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=request["model"]), max_results=-1
    )
    scores, labels = [], []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for image in images:
            data = np.ascontiguousarray(image)
            picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
            (found,) = classifier.classify(picture).classifications
            ordered = sorted(found.categories, key=lambda one: one.index)
            scores.append([one.score for one in ordered])
            labels = [one.category_name or "" for one in ordered]
    np.save(request["scores"], np.asarray(scores, np.float32), allow_pickle=False)
    return {"version": mediapipe.__version__, "labels": labels}
