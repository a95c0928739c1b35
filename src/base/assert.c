#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void ensure_failed(const char *file, int line, const char *func, const char *text) {
    // No stdio stream and no malloc: either may be what is broken. The stack buffer bounds the line.
    char message[1024];
    int len =
        snprintf(message, sizeof message, "parley: invariant broken at %s:%d in %s: %s\n", file, line, func, text);
    if (len > 0) {
        size_t bytes = (size_t)len < sizeof message ? (size_t)len : sizeof message - 1;
        ssize_t written = write(STDERR_FILENO, message, bytes);
        (void)written; // nothing is left to be done about it
    }
    abort();
}
