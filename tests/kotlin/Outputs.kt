// Runs docs/PostProcessing.kt on the numbers in a folder's text files, for tests/test_kotlin.py.

import java.io.File

fun numbers(folder: String, name: String): FloatArray =
    File(folder, "$name.txt").readText().trim().split(Regex("\\s+")).map { it.toFloat() }.toFloatArray()

fun rows(values: FloatArray, width: Int): Array<FloatArray> =
    Array(values.size / width) { values.copyOfRange(it * width, (it + 1) * width) }

fun main(args: Array<String>) {
    val folder = args[0]
    val (height, width) = numbers(folder, "size").map { it.toInt() }
    val classes = numbers(folder, "classes")[0].toInt()
    val anchors = rows(numbers(folder, "anchors"), 4)
    val detector = Detector(anchors, numbers(folder, "scales"), height, width)
    val found = detector.detections(rows(numbers(folder, "location"), 4), rows(numbers(folder, "score"), classes))
    for (one in found) {
        println("${one.box.top} ${one.box.left} ${one.box.bottom} ${one.box.right} ${one.score} ${one.label}")
    }
    println("map")
    val (mapHeight, mapWidth, count) = numbers(folder, "map_size").map { it.toInt() }
    val pixels = rows(numbers(folder, "logits"), count)
    val logits = Array(mapHeight) { y -> Array(mapWidth) { x -> pixels[y * mapWidth + x] } }
    val map = classMap(logits, height, width)
    for (row in map) println(row.joinToString(" "))
    println("colors")
    println(colored(map, intArrayOf(0xFF800000.toInt(), 0xFF008000.toInt())).joinToString(" "))
}
