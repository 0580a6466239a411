/* The classes, in the order of CLASSES in instructions.py. */
#ifndef TFLITE_ARM64_COUNT_INSTRUCTION_CLASSES_H
#define TFLITE_ARM64_COUNT_INSTRUCTION_CLASSES_H

#include <stdint.h>

enum instruction_class {
  CLASS_DOT,
  CLASS_MATRIX,
  CLASS_FMLA,
  CLASS_MULTIPLY_LONG,
  CLASS_OTHER_VECTOR,
  CLASS_VECTOR_LOAD,
  CLASS_VECTOR_STORE,
  CLASS_SCALABLE,
  CLASS_SCALAR,
  CLASSES
};

/* The class of a 32-bit instruction word of A64. */
int instruction_class(uint32_t word);

#endif
