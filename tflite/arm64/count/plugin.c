/* A plugin of qemu's user-mode emulation that counts executed A64 instructions by class.
 *
 * `-plugin FILE,counts=PATH`: each time that the program's first thread calls getpriority, which
 * `worker.py` does before and after each inference and nothing else does, a line is added to PATH
 * with what that thread has executed so far, one number for each class.
 *
 * Debian's packages ship no <qemu-plugin.h>: what is used of it is declared here, as version 1 of
 * the API has it (qemu 4.2 to 8.2, docs/devel/tcg-plugins.rst). Later ones read instructions in
 * another way, and refuse version 1.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instruction_classes.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*block_translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*block_executed)(unsigned int thread, void *data);
typedef void (*system_called)(plugin_id, unsigned int thread, int64_t number, uint64_t, uint64_t,
                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

enum { API_VERSION = 1, READS_NO_REGISTERS = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, block_translated);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, block_executed, int flags,
                                          void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, system_called);

/* The number of getpriority among arm64's system calls (include/uapi/asm-generic/unistd.h). */
enum { GETPRIORITY = 141, FIRST_THREAD = 0 };

static const char COUNTS[] = "counts=";

/* A translated block: what is in it, and how often it was executed. Blocks are never freed, so that
 * their counts stay when qemu translates anew. */
struct block {
  struct block *next;
  uint64_t executions;
  uint32_t instructions[CLASSES];
};

static struct block *blocks;
static FILE *output;

static void on_execution(unsigned int thread, void *data) {
  if (thread == FIRST_THREAD) ((struct block *)data)->executions++;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *translated) {
  (void)id;
  struct block *block = calloc(1, sizeof *block);
  if (!block) abort();
  size_t count = qemu_plugin_tb_n_insns(translated);
  for (size_t i = 0; i < count; i++) {
    uint32_t word; /* A64 instructions are little-endian, as the machines that emulate them are. */
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, i)), sizeof word);
    block->instructions[instruction_class(word)]++;
  }
  /* Threads may translate at the same time. */
  block->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&blocks, &block->next, block, 0, __ATOMIC_RELEASE,
                                      __ATOMIC_RELAXED)) {
  }
  qemu_plugin_register_vcpu_tb_exec_cb(translated, on_execution, READS_NO_REGISTERS, block);
}

static void on_system_call(plugin_id id, unsigned int thread, int64_t number, uint64_t a1,
                           uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                           uint64_t a7, uint64_t a8) {
  (void)id, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != GETPRIORITY || thread != FIRST_THREAD) return;
  uint64_t sums[CLASSES] = {0};
  for (struct block *one = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE); one; one = one->next)
    for (int i = 0; i < CLASSES; i++) sums[i] += one->executions * one->instructions[i];
  for (int i = 0; i < CLASSES; i++)
    fprintf(output, "%llu%c", (unsigned long long)sums[i], i + 1 < CLASSES ? ' ' : '\n');
  fflush(output);
}

EXPORT int qemu_plugin_version = API_VERSION;

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], COUNTS, sizeof COUNTS - 1)) return 1;
  output = fopen(argv[0] + sizeof COUNTS - 1, "w");
  if (!output) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
  return 0;
}
