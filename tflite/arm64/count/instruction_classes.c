/* Which class of tflite.arm64.count an A64 instruction is of.
 *
 * Masks and values follow the tables of "Arm Architecture Reference Manual for A-profile
 * architecture" (DDI 0487), chapter C4 "A64 Instruction Set Encoding"; each comment names its table
 * there. A row is met where the bits of its mask have its value.
 */
#include "instruction_classes.h"

#include <stddef.h>

struct encoding {
  uint32_t mask, value;
};

/* Products of four bytes, or of two bfloat16, summed into one lane. */
static const struct encoding DOT_PRODUCTS[] = {
    /* Advanced SIMD three-register extension */
    {0x9FE0FC00, 0x0E809400}, /* SDOT, UDOT (vector) */
    {0xBFE0FC00, 0x0E809C00}, /* USDOT (vector) */
    {0xBFE0FC00, 0x2E40FC00}, /* BFDOT (vector) */
    /* Advanced SIMD vector x indexed element */
    {0x9FC0F400, 0x0F80E000}, /* SDOT, UDOT (by element) */
    {0xBFC0F400, 0x0F00F000}, /* SUDOT (by element) */
    {0xBFC0F400, 0x0F80F000}, /* USDOT (by element) */
    {0xBFC0F400, 0x0F40F000}, /* BFDOT (by element) */
};

/* Products of small matrices: the i8mm and bf16 extensions. */
static const struct encoding MATRIX_PRODUCTS[] = {
    /* Advanced SIMD three-register extension */
    {0xDFE0FC00, 0x4E80A400}, /* SMMLA, UMMLA */
    {0xFFE0FC00, 0x4E80AC00}, /* USMMLA */
    {0xFFE0FC00, 0x6E40EC00}, /* BFMMLA */
};

/* Fused multiply-add and multiply-subtract of vectors of floats. */
static const struct encoding FUSED_MULTIPLY_ADDS[] = {
    {0xBF20FC00, 0x0E20CC00}, /* Advanced SIMD three same: FMLA, FMLS (vector) */
    {0xBF60FC00, 0x0E400C00}, /* Advanced SIMD three same (FP16): FMLA, FMLS (vector) */
    {0xBF80B400, 0x0F801000}, /* vector x indexed element: FMLA, FMLS, single and double */
    {0xBFC0B400, 0x0F001000}, /* vector x indexed element: FMLA, FMLS, half */
};

/* Products of integers of twice the width of their factors. */
static const struct encoding LONG_MULTIPLIES[] = {
    /* Advanced SIMD three different */
    {0x9F20DC00, 0x0E208000}, /* SMLAL, SMLSL, UMLAL, UMLSL, their second halves */
    {0x9F20FC00, 0x0E20C000}, /* SMULL, UMULL */
    {0xBF20DC00, 0x0E209000}, /* SQDMLAL, SQDMLSL */
    {0xBF20FC00, 0x0E20D000}, /* SQDMULL */
    /* Advanced SIMD vector x indexed element */
    {0x9F00B400, 0x0F002000}, /* SMLAL, SMLSL, UMLAL, UMLSL */
    {0x9F00F400, 0x0F00A000}, /* SMULL, UMULL */
    {0xBF00B400, 0x0F003000}, /* SQDMLAL, SQDMLSL */
    {0xBF00F400, 0x0F00B000}, /* SQDMULL */
};

/* "A64 instruction set encoding": the groups of op1, bits 28 to 25, and SME by bit 31. */
static const struct encoding VECTOR_ARITHMETIC = {0x0E000000, 0x0E000000};
static const struct encoding LOADS_AND_STORES = {0x0A000000, 0x08000000};
static const struct encoding SVE = {0x1E000000, 0x04000000};
static const struct encoding SME = {0x9E000000, 0x80000000};

/* "Loads and stores": V, whether the register is one of the vector unit's. */
static const uint32_t VECTOR_REGISTER = 1u << 26;
/* Likewise: "Load register (literal)", which has no other direction. */
static const struct encoding LITERAL_LOADS = {0x3B000000, 0x18000000};
/* Of all others with V = 1 the low bit of opc, or L. */
static const uint32_t IS_LOAD = 1u << 22;

static int is(struct encoding one, uint32_t word) { return (word & one.mask) == one.value; }

static int is_any(const struct encoding *rows, size_t count, uint32_t word) {
  for (size_t i = 0; i < count; i++)
    if (is(rows[i], word)) return 1;
  return 0;
}

#define IS_ANY(rows, word) is_any(rows, sizeof rows / sizeof *rows, word)

int instruction_class(uint32_t word) {
  if (is(VECTOR_ARITHMETIC, word)) {
    if (IS_ANY(DOT_PRODUCTS, word)) return CLASS_DOT;
    if (IS_ANY(MATRIX_PRODUCTS, word)) return CLASS_MATRIX;
    if (IS_ANY(FUSED_MULTIPLY_ADDS, word)) return CLASS_FMLA;
    if (IS_ANY(LONG_MULTIPLIES, word)) return CLASS_MULTIPLY_LONG;
    return CLASS_OTHER_VECTOR;
  }
  if (is(LOADS_AND_STORES, word) && (word & VECTOR_REGISTER)) {
    if (is(LITERAL_LOADS, word) || (word & IS_LOAD)) return CLASS_VECTOR_LOAD;
    return CLASS_VECTOR_STORE;
  }
  return is(SVE, word) || is(SME, word) ? CLASS_SCALABLE : CLASS_SCALAR;
}
