"""Runs a file on images with MediaPipe Tasks, in a process of its own.

For `tflite.child.worker`; it imports NumPy and MediaPipe alone.
"""

import numpy as np


def work(request: dict) -> dict:
    """Runs a file on every image.

    Args:
        request: `task`, a key of `_TASKS`; `model`, a path; `images`, a .npy file of
            uint8 RGB images of the file's input size; `found`, a .npy file that is
            written; of detectors `score_threshold`.

    Returns:
        `version`, and `labels`, names of classes as MediaPipe read them.

    Raises:
        Exception: What MediaPipe says of a file that it does not take.
    """
    import mediapipe

    images = np.load(request["images"], mmap_mode="r", allow_pickle=False)
    pictures = (
        mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        for image in images
    )
    found, labels = _TASKS[request["task"]](request, pictures)
    np.save(request["found"], found, allow_pickle=False)
    return {"version": mediapipe.__version__, "labels": labels}


def _classify(request, pictures):
    """Scores `(images, classes)`."""
    from mediapipe.tasks.python import vision

    options = vision.ImageClassifierOptions(base_options=_base(request), max_results=-1)
    scores, labels = [], []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for picture in pictures:
            (found,) = classifier.classify(picture).classifications
            ordered = sorted(found.categories, key=lambda one: one.index)
            scores.append([one.score for one in ordered])
            labels = [one.category_name or "" for one in ordered]
    return np.asarray(scores, np.float32), labels


def _detect(request, pictures):
    """Rows of all images: the image's number, ymin, xmin, ymax, xmax, score, place in labels."""
    from mediapipe.tasks.python import vision

    options = vision.ObjectDetectorOptions(
        base_options=_base(request), score_threshold=request["score_threshold"], max_results=-1
    )
    rows, labels = [], []
    with vision.ObjectDetector.create_from_options(options) as detector:
        for number, picture in enumerate(pictures):
            for one in detector.detect(picture).detections:
                box, (best, *_) = one.bounding_box, one.categories
                name = best.category_name or f"class {best.index}"
                if name not in labels:
                    labels.append(name)
                ends = (box.origin_y + box.height, box.origin_x + box.width)
                place = labels.index(name)
                rows.append([number, box.origin_y, box.origin_x, *ends, best.score, place])
    return np.asarray(rows, np.float64).reshape(-1, 7), labels


def _segment(request, pictures):
    """Classes of pixels, uint8 `(images, height, width)`."""
    from mediapipe.tasks.python import vision

    options = vision.ImageSegmenterOptions(
        base_options=_base(request), output_category_mask=True, output_confidence_masks=False
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        masks = [
            np.array(segmenter.segment(picture).category_mask.numpy_view()) for picture in pictures
        ]
        labels = list(segmenter.labels)
    return np.stack([mask.reshape(mask.shape[:2]) for mask in masks]), labels


def _base(request):
    from mediapipe.tasks.python import BaseOptions

    return BaseOptions(model_asset_path=request["model"])


_TASKS = {"classification": _classify, "detection": _detect, "segmentation": _segment}
