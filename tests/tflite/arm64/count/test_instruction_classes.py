"""Real instruction words, each in its class; and the C code is without warnings."""

import ctypes
import pathlib
import shutil
import subprocess

import pytest

from tflite.arm64.count import setup
from tflite.arm64.count.instructions import CLASSES

SOURCES = pathlib.Path(setup.__file__).parent

# Words as GNU binutils' assembler makes them of the instructions beside them.
INSTRUCTIONS = {
    "dot": """
        4e829420 sdot v0.4s, v1.16b, v2.16b
        2e9d97df udot v31.2s, v30.8b, v29.8b
        4fa2e820 sdot v0.4s, v1.16b, v2.4b[3]
        2fbfe020 udot v0.2s, v1.8b, v31.4b[1]
        4e829c20 usdot v0.4s, v1.16b, v2.16b
        4f82f820 usdot v0.4s, v1.16b, v2.4b[2]
        4f02f820 sudot v0.4s, v1.16b, v2.4b[2]
        6e42fc20 bfdot v0.4s, v1.8h, v2.8h
        4f62f820 bfdot v0.4s, v1.8h, v2.2h[3]
    """,
    "matrix": """
        4e82a420 smmla v0.4s, v1.16b, v2.16b
        6e82a429 ummla v9.4s, v1.16b, v2.16b
        4e82ac20 usmmla v0.4s, v1.16b, v2.16b
        6e42ec20 bfmmla v0.4s, v1.8h, v2.8h
    """,
    "fmla": """
        4e22cc20 fmla v0.4s, v1.4s, v2.4s
        0ea2cc20 fmls v0.2s, v1.2s, v2.2s
        4e62cc20 fmla v0.2d, v1.2d, v2.2d
        4e420c20 fmla v0.8h, v1.8h, v2.8h
        0ec20c20 fmls v0.4h, v1.4h, v2.4h
        4fa21820 fmla v0.4s, v1.4s, v2.s[3]
        4fc25820 fmls v0.2d, v1.2d, v2.d[1]
        4f321820 fmla v0.8h, v1.8h, v2.h[7]
        0f125020 fmls v0.4h, v1.4h, v2.h[1]
    """,
    "multiply_long": """
        0e22c020 smull v0.8h, v1.8b, v2.8b
        4e22c020 smull2 v0.8h, v1.16b, v2.16b
        2ea2c020 umull v0.2d, v1.2s, v2.2s
        0e628020 smlal v0.4s, v1.4h, v2.4h
        4e628020 smlal2 v0.4s, v1.8h, v2.8h
        2e62a020 umlsl v0.4s, v1.4h, v2.4h
        0f722820 smlal v0.4s, v1.4h, v2.h[7]
        4f4f2020 smlal2 v0.4s, v1.8h, v15.h[0]
        6fa26820 umlsl2 v0.2d, v1.4s, v2.s[3]
        0f72a020 smull v0.4s, v1.4h, v2.h[3]
        6fa2a020 umull2 v0.2d, v1.4s, v2.s[1]
        0e62d020 sqdmull v0.4s, v1.4h, v2.4h
        0e629020 sqdmlal v0.4s, v1.4h, v2.4h
        4f527020 sqdmlsl2 v0.4s, v1.8h, v2.h[1]
        4fa2b020 sqdmull2 v0.2d, v1.4s, v2.s[1]
    """,
    "other_vector": """
        0e22e020 pmull v0.8h, v1.8b, v2.8b
        4e22ec20 fmlal v0.4s, v1.4h, v2.4h
        4f920020 fmlal v0.4s, v1.4h, v2.h[1]
        6e82cc20 fcmla v0.4s, v1.4s, v2.4s, #90
        6f823820 fcmla v0.4s, v1.4s, v2.s[1], #90
        2ec2fc20 bfmlalb v0.4s, v1.8h, v2.8h
        0fd2f020 bfmlalb v0.4s, v1.8h, v2.h[1]
        4e629420 mla v0.8h, v1.8h, v2.8h
        6f720020 mla v0.8h, v1.8h, v2.h[3]
        4fa28020 mul v0.4s, v1.4s, v2.s[1]
        6e22dc20 fmul v0.4s, v1.4s, v2.4s
        4fa29020 fmul v0.4s, v1.4s, v2.s[1]
        6fa29020 fmulx v0.4s, v1.4s, v2.s[1]
        4e228420 add v0.16b, v1.16b, v2.16b
        0e220020 saddl v0.8h, v1.8b, v2.8b
        4e621020 saddw2 v0.4s, v1.4s, v2.8h
        0e225020 sabal v0.8h, v1.8b, v2.8b
        0e224020 addhn v0.8b, v1.8h, v2.8h
        6e226020 rsubhn2 v0.16b, v1.8h, v2.8h
        6e62b420 sqrdmulh v0.8h, v1.8h, v2.8h
        4fa2d020 sqrdmulh v0.4s, v1.4s, v2.s[1]
        6e428420 sqrdmlah v0.8h, v1.8h, v2.8h
        5e62d020 sqdmull s0, h1, h2
        5fa23020 sqdmlal d0, s1, v2.s[1]
        5fa21820 fmla s0, s1, v2.s[3]
        5f321020 fmla h0, h1, v2.h[3]
        1f020c20 fmadd s0, s1, s2, s3
        1e622820 fadd d0, d1, d2
        1e260020 fmov w0, s1
        4e21d820 scvtf v0.4s, v1.4s
        0e614820 sqxtn v0.4h, v1.4s
        4e214820 sqxtn2 v0.16b, v1.8h
        0f08a420 sshll v0.8h, v1.8b, #0
        4ea25420 srshl v0.4s, v1.4s, v2.4s
        4e056020 tbl v0.16b, {v1.16b, v2.16b, v3.16b, v4.16b}, v5.16b
        4e023820 zip1 v0.16b, v1.16b, v2.16b
        6e024020 ext v0.16b, v1.16b, v2.16b, #8
        4e040c20 dup v0.4s, w1
        4f000400 movi v0.4s, #0
        4eb1b820 addv s0, v1.4s
        4e284820 aese v0.16b, v1.16b
    """,
    "vector_load": """
        4c407000 ld1 {v0.16b}, [x0]
        4cdf2000 ld1 {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
        4dc18000 ld1 {v0.s}[2], [x0], x1
        4d40c800 ld1r {v0.4s}, [x0]
        4c408400 ld2 {v0.8h, v1.8h}, [x0]
        3dc00000 ldr q0, [x0]
        3cc10400 ldr q0, [x0], #16
        fc408c00 ldr d0, [x0, #8]!
        bc617800 ldr s0, [x0, x1, lsl #2]
        7d400000 ldr h0, [x0]
        3d400000 ldr b0, [x0]
        3cdf0000 ldur q0, [x0, #-16]
        9c000000 ldr q0, .
        1c000000 ldr s0, .
        ad400400 ldp q0, q1, [x0]
        2cc10400 ldp s0, s1, [x0], #8
        6c400400 ldnp d0, d1, [x0]
    """,
    "vector_store": """
        4c007000 st1 {v0.16b}, [x0]
        4d818000 st1 {v0.s}[2], [x0], x1
        4c000400 st4 {v0.8h, v1.8h, v2.8h, v3.8h}, [x0]
        3d800000 str q0, [x0]
        3c810400 str q0, [x0], #16
        3ca16800 str q0, [x0, x1]
        fc008c00 str d0, [x0, #8]!
        3d000000 str b0, [x0]
        3c9f0000 stur q0, [x0, #-16]
        ad000400 stp q0, q1, [x0]
        6dbf27e8 stp d8, d9, [sp, #-16]!
        ac000400 stnp q0, q1, [x0]
    """,
    "scalar": """
        8b020020 add x0, x1, x2
        9b020c20 madd x0, x1, x2, x3
        9b227c20 smull x0, w1, w2
        d2800020 movz x0, #1
        f9400020 ldr x0, [x1]
        b8004420 str w0, [x1], #4
        a8c17bfd ldp x29, x30, [sp], #16
        a9bf7bfd stp x29, x30, [sp, #-16]!
        58000000 ldr x0, .
        b8a26820 ldrsw x0, [x1, x2]
        885ffc20 ldaxr w0, [x1]
        88a07c41 cas w0, w1, [x2]
        b8200041 ldadd w0, w1, [x2]
        f9800000 prfm pldl1keep, [x0]
        14000000 b .
        54000001 b.ne .
        b4000000 cbz x0, .
        d65f03c0 ret
        d4000001 svc #0
        d503201f nop
        d53b4200 mrs x0, nzcv
        00000000 udf #0
    """,
    "scalable": """
        2518e3e0 ptrue p0.b
        a400a000 ld1b {z0.b}, p0/z, [x0]
        e540e000 st1w {z0.s}, p0, [x0]
        65a20020 fmla z0.s, p0/m, z1.s, z2.s
        44820020 sdot z0.s, z1.b, z2.b
        25a11c00 whilelo p0.s, x0, x1
        80812000 fmopa za0.s, p0/m, p1/m, z0.s, z1.s
        a0812000 smopa za0.s, p0/m, p1/m, z0.b, z1.b
        c00800ff zero {za}
    """,
}


@pytest.fixture(scope="module")
def compiler():
    found = [name for name in setup.COMPILERS if shutil.which(name)]
    return found[0] if found else pytest.skip(f"needs a C compiler: {', '.join(setup.COMPILERS)}")


def test_the_sources_are_clean(compiler, tmp_path):
    options = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-c"]
    for source in sorted(SOURCES.glob("*.c")):
        subprocess.run([compiler, *options, source, "-o", tmp_path / "object.o"], check=True)


def test_each_instruction_is_in_its_class(compiler, tmp_path):
    library = tmp_path / "classes.so"
    source = SOURCES / "instruction_classes.c"
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)
    classify = ctypes.CDLL(library).instruction_class
    classify.argtypes = [ctypes.c_uint32]
    assert INSTRUCTIONS.keys() == set(CLASSES)
    for name, text in INSTRUCTIONS.items():
        for line in text.split("\n")[1:-1]:
            word, _, mnemonic = line.strip().partition(" ")
            assert CLASSES[classify(int(word, 16))] == name, mnemonic
