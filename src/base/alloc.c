#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

static _Noreturn void out_of_memory(size_t bytes) {
    char message[128];
    int len = snprintf(message, sizeof message, "parley: out of memory: the system refused %zu bytes\n", bytes);
    ssize_t written = write(STDERR_FILENO, message, (size_t)len);
    (void)written;
    abort();
}

// Size 0 is asked for as 1, because libc may answer 0 with NULL.
static size_t at_least_one(size_t bytes) {
    return bytes == 0 ? 1 : bytes;
}

void *mem_alloc(size_t bytes) {
    void *memory = malloc(at_least_one(bytes));
    if (memory == NULL) out_of_memory(bytes);
    return memory;
}

void *mem_zalloc(size_t bytes) {
    void *memory = calloc(1, at_least_one(bytes));
    if (memory == NULL) out_of_memory(bytes);
    return memory;
}

void *mem_realloc(void *memory, size_t bytes) {
    void *moved = realloc(memory, at_least_one(bytes));
    if (moved == NULL) out_of_memory(bytes);
    return moved;
}

void mem_free(void *memory) {
    free(memory);
}

char *mem_strdup(const char *text) {
    ENSURE(text != NULL);
    size_t bytes = strlen(text) + 1;
    char *copy = mem_alloc(bytes);
    memcpy(copy, text, bytes);
    return copy;
}

// Below this a calloc is quicker than a system call, and clearing takes microseconds at most.
#define PAGES_FROM_BYTES ((size_t)64 << 10)

void *mem_zpages(size_t bytes) {
    // Above it malloc is not good enough: it may hand out recycled heap, which calloc then clears all at once.
    if (bytes < PAGES_FROM_BYTES) return mem_zalloc(bytes);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) out_of_memory(bytes);
    return memory;
}

void mem_zpages_free(void *memory, size_t bytes) {
    if (memory == NULL) return;
    if (bytes < PAGES_FROM_BYTES) {
        mem_free(memory);
        return;
    }
    int failed = munmap(memory, bytes);
    ENSURE(failed == 0);
}
