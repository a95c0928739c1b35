// Memory from the system that never comes back NULL: running out of memory is not an error that a replicated state
// machine can answer alike on every node, so the process ends with a clear line instead (budgets stop growth long
// before).
#pragma once
#include <stddef.h>

void *mem_alloc(size_t bytes);                 // uninitialised; bytes 0 gives a unique pointer
void *mem_zalloc(size_t bytes);                // zeroed
void *mem_realloc(void *memory, size_t bytes); // as realloc
void mem_free(void *memory);                   // NULL is allowed
char *mem_strdup(const char *text);

// Zeroed memory whose pages the system fills at first touch, so that a huge array costs nothing until it is used.
void *mem_zpages(size_t bytes);
void mem_zpages_free(void *memory, size_t bytes); // the size that it was asked for with; NULL is allowed
