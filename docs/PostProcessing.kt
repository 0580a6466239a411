// What an app does with the outputs of a detector and of a segmenter, step by step as
// care_keras/detection/postprocessing.py and care_keras/segmentation/postprocessing.py do it.
// Needs nothing but Kotlin's standard library.

import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** A box in pixels of the input. */
class Box(val top: Float, val left: Float, val bottom: Float, val right: Float) {
    fun area() = (bottom - top) * (right - left)

    fun iou(other: Box): Float {
        val height = max(min(bottom, other.bottom) - max(top, other.top), 0f)
        val width = max(min(right, other.right) - max(left, other.left), 0f)
        val shared = height * width
        return shared / max(area() + other.area() - shared, 1e-9f)
    }
}

class Detection(val box: Box, val score: Float, val label: Int)

/** `task.anchor_boxes` of the JSON: centre y, centre x, height, width of each anchor. */
class Detector(
    private val anchors: Array<FloatArray>,
    private val scales: FloatArray, // task.location_scales
    private val height: Int,
    private val width: Int
) {
    /** The box of an anchor: `location` are the four values of its row. */
    fun decode(location: FloatArray, anchor: FloatArray): Box {
        val y = anchor[0] + location[0] / scales[0] * anchor[2]
        val x = anchor[1] + location[1] / scales[1] * anchor[3]
        val halfHeight = exp(location[2] / scales[2]) * anchor[2] / 2
        val halfWidth = exp(location[3] / scales[3]) * anchor[3] / 2
        return Box(
            (y - halfHeight).coerceIn(0f, height.toFloat()),
            (x - halfWidth).coerceIn(0f, width.toFloat()),
            (y + halfHeight).coerceIn(0f, height.toFloat()),
            (x + halfWidth).coerceIn(0f, width.toFloat())
        )
    }

    /** The best boxes of each class that do not overlap. `score[anchor][label]` is from 0 to 1. */
    fun detections(
        location: Array<FloatArray>,
        score: Array<FloatArray>,
        scoreThreshold: Float = 0.05f,
        iouThreshold: Float = 0.6f,
        candidates: Int = 1000,
        most: Int = 100
    ): List<Detection> {
        val classes = score[0].size
        val places = (0 until score.size * classes)
            .filter { score[it / classes][it % classes] > scoreThreshold }
            .sortedByDescending { score[it / classes][it % classes] } // of equal ones the first
            .take(candidates)
        val kept = mutableListOf<Detection>()
        for (place in places) {
            val anchor = place / classes
            val label = place % classes
            val box = decode(location[anchor], anchors[anchor])
            if (kept.none { it.label == label && it.box.iou(box) > iouThreshold }) {
                kept.add(Detection(box, score[anchor][label], label))
                if (kept.size == most) break
            }
        }
        return kept
    }
}

/** The class of each pixel: logits `[row][column][class]`, enlarged by bilinear interpolation. */
fun classMap(logits: Array<Array<FloatArray>>, height: Int, width: Int): Array<IntArray> {
    val rows = Steps(height, logits.size)
    val columns = Steps(width, logits[0].size)
    val classes = logits[0][0].size
    return Array(height) { y ->
        val above = logits[rows.low[y]]
        val below = logits[rows.high[y]]
        IntArray(width) { x ->
            val left = columns.low[x]
            val right = columns.high[x]
            var best = 0
            var largest = Float.NEGATIVE_INFINITY
            for (k in 0 until classes) {
                val top = above[left][k] * (1 - columns.share[x]) + above[right][k] * columns.share[x]
                val bottom = below[left][k] * (1 - columns.share[x]) + below[right][k] * columns.share[x]
                val value = top * (1 - rows.share[y]) + bottom * rows.share[y]
                if (value > largest) {
                    largest = value
                    best = k
                }
            }
            best
        }
    }
}

/** Where each of `size` pixels lies among `of` pixels, from middle to middle. */
private class Steps(size: Int, of: Int) {
    private val places = FloatArray(size) {
        ((it + 0.5f) * of / size - 0.5f).coerceIn(0f, of - 1f)
    }
    val low = IntArray(size) { min(floor(places[it]).toInt(), of - 1) }
    val high = IntArray(size) { min(low[it] + 1, of - 1) }
    val share = FloatArray(size) { places[it] - low[it] }
}

/** Colours for a map of classes: `task.colors` of the JSON as 0xAARRGGBB, black where there is none. */
fun colored(classes: Array<IntArray>, colors: IntArray): IntArray =
    classes.flatMap { row -> row.map { colors.getOrElse(it) { 0xFF000000.toInt() } } }.toIntArray()
