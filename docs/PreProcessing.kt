// How a camera's frame or a photo becomes a model's input, step by step as
// care_keras/data/preprocessing.py does it: the same pixels, to the byte.
// Needs nothing but Kotlin's standard library.

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** A picture: red, green and blue of each pixel, row by row. */
class Picture(val height: Int, val width: Int, val rgb: ByteArray)

/** What `preprocessing` of the JSON says. */
class Preprocessing(
    val height: Int,
    val width: Int,
    val cropRatio: Double, // crop_ratio
    val interpolation: String,
    val fit: String
)

/**
 * The upright picture of a frame in CameraX's format RGBA_8888: `height` rows that are
 * `rowStride` bytes apart. It is upright once it is turned clockwise by `degrees`.
 */
fun upright(frame: ByteBuffer, rowStride: Int, height: Int, width: Int, degrees: Int): Picture {
    val isTurned = degrees % 180 != 0
    val rows = if (isTurned) width else height
    val columns = if (isTurned) height else width
    val rgb = ByteArray(3 * rows * columns)
    var place = 0
    for (y in 0 until rows) {
        for (x in 0 until columns) {
            val row = when (degrees) { 90 -> height - 1 - x; 180 -> height - 1 - y; 270 -> x; else -> y }
            val column = when (degrees) { 90 -> y; 180 -> width - 1 - x; 270 -> width - 1 - y; else -> x }
            val pixel = row * rowStride + 4 * column
            for (channel in 0 until 3) rgb[place++] = frame.get(pixel + channel)
        }
    }
    return Picture(rows, columns, rgb)
}

/** The input's pixels: all of the picture, or the middle of it where `fit` is "crop". */
fun prepared(picture: Picture, how: Preprocessing): Picture {
    if (how.fit == "stretch") return resized(picture, how.height, how.width, how.interpolation)
    var height = floor(how.height / how.cropRatio).toInt()
    var width = floor(how.width / how.cropRatio).toInt()
    // The side that needs the larger scale is met exactly, the other rounded down.
    if (height.toLong() * picture.width >= width.toLong() * picture.height) {
        width = max(how.width, (height.toLong() * picture.width / picture.height).toInt())
    } else {
        height = max(how.height, (width.toLong() * picture.height / picture.width).toInt())
    }
    val whole = resized(picture, height, width, how.interpolation)
    val top = round((height - how.height) / 2.0).toInt() // Ties to even.
    val left = round((width - how.width) / 2.0).toInt()
    val rgb = ByteArray(3 * how.height * how.width)
    for (y in 0 until how.height) {
        whole.rgb.copyInto(
            rgb, 3 * y * how.width, 3 * ((top + y) * width + left), 3 * ((top + y) * width + left + how.width)
        )
    }
    return Picture(how.height, how.width, rgb)
}

/** A picture at another size as Pillow 13 makes it: antialiased, but for "nearest". */
fun resized(picture: Picture, height: Int, width: Int, interpolation: String): Picture {
    // Where height shrinks far more than width, it comes first; older versions never do so.
    val isTall = height < picture.height && picture.height - height > 2 * (picture.width - width)
    return if (isTall) {
        inWidth(inHeight(picture, height, interpolation), width, interpolation)
    } else {
        inHeight(inWidth(picture, width, interpolation), height, interpolation)
    }
}

private fun inWidth(picture: Picture, width: Int, interpolation: String): Picture {
    val weights = Weights(picture.width, width, interpolation)
    val rgb = ByteArray(3 * picture.height * width)
    var place = 0
    for (y in 0 until picture.height) {
        for (x in 0 until width) {
            for (channel in 0 until 3) {
                rgb[place++] = weights.sum(x, picture.rgb, 3 * y * picture.width + channel, 3)
            }
        }
    }
    return Picture(picture.height, width, rgb)
}

private fun inHeight(picture: Picture, height: Int, interpolation: String): Picture {
    val weights = Weights(picture.height, height, interpolation)
    val rgb = ByteArray(3 * height * picture.width)
    var place = 0
    for (y in 0 until height) {
        for (column in 0 until 3 * picture.width) {
            rgb[place++] = weights.sum(y, picture.rgb, column, 3 * picture.width)
        }
    }
    return Picture(height, picture.width, rgb)
}

/** By which weights each of `size` pixels is the sum of neighbours among `of` pixels. */
private class Weights(of: Int, size: Int, interpolation: String) {
    private val first = IntArray(size)
    private val weights: Array<IntArray>

    init {
        require(interpolation in listOf("bilinear", "bicubic", "nearest")) { interpolation }
        val scale = of.toDouble() / size
        val stretch = max(scale, 1.0)
        val support = stretch * if (interpolation == "bicubic") 2.0 else 1.0
        var middle = scale * 0.5
        weights = Array(size) { place ->
            if (interpolation == "nearest") {
                first[place] = min(middle.toInt(), of - 1)
                middle += scale
                intArrayOf(1 shl BITS)
            } else {
                val center = (place + 0.5) * scale
                first[place] = max((center - support + 0.5).toInt(), 0)
                val count = min((center + support + 0.5).toInt(), of) - first[place]
                val shares = DoubleArray(count) {
                    share((it + first[place] - center + 0.5) / stretch, interpolation)
                }
                val total = shares.sum()
                IntArray(count) { fixed(shares[it] / total) }
            }
        }
    }

    /** The new pixel: of numbers that begin at `start` and lie `step` bytes apart. */
    fun sum(place: Int, bytes: ByteArray, start: Int, step: Int): Byte {
        var total = 1 shl (BITS - 1)
        var from = start + first[place] * step
        for (weight in weights[place]) {
            total += weight * (bytes[from].toInt() and 0xFF)
            from += step
        }
        return (total shr BITS).coerceIn(0, 255).toByte()
    }

    private fun fixed(share: Double) = (share * (1 shl BITS) + if (share < 0) -0.5 else 0.5).toInt()

    private fun share(signed: Double, interpolation: String): Double {
        val distance = abs(signed)
        return when {
            interpolation == "bilinear" -> max(1.0 - distance, 0.0)
            distance < 1.0 -> (1.5 * distance - 2.5) * distance * distance + 1.0
            distance < 2.0 -> (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5
            else -> 0.0
        }
    }

    private companion object {
        const val BITS = 22 // Of the weights behind the point.
    }
}

/** What a model takes whose `input.kind` is "float": `(pixel / 255 - mean) / std`, row by row. */
fun normalized(picture: Picture, mean: FloatArray, std: FloatArray): FloatArray =
    FloatArray(picture.rgb.size) {
        val channel = it % 3
        (picture.rgb[it].toInt() and 0xFF) / (255f * std[channel]) - mean[channel] / std[channel]
    }
