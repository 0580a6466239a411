// Runs docs/PreProcessing.kt on the pictures in a folder, for tests/test_kotlin.py.

import java.io.File
import java.nio.ByteBuffer

/** Each line of cases.txt: a file of RGBA rows, its size, stride and turn, then how it is prepared. */
fun main(args: Array<String>) {
    val folder = File(args[0])
    folder.resolve("cases.txt").readLines().forEachIndexed { number, line ->
        val words = line.split(" ")
        val (height, width, stride, degrees) = words.subList(1, 5).map { it.toInt() }
        val frame = ByteBuffer.wrap(folder.resolve(words[0]).readBytes())
        val how = Preprocessing(words[5].toInt(), words[6].toInt(), words[7].toDouble(), words[8], words[9])
        val picture = prepared(upright(frame, stride, height, width, degrees), how)
        folder.resolve("$number.rgb").writeBytes(picture.rgb)
        val values = normalized(picture, floatArrayOf(0.485f, 0.456f, 0.406f), floatArrayOf(0.229f, 0.224f, 0.225f))
        folder.resolve("$number.txt").writeText(values.joinToString("\n"))
    }
}
