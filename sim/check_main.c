// check FILE...: judges recorded histories (docs/histories.md). Exit 0: all ok, 1: a violation, 2: something unknown.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check/check.h"

static const char usage[] =
    "usage: check [--steps N] [--memory MIB] [--shown N] FILE...\n"
    "  --steps N     steps of one key's search (default %" PRIu64 ")\n"
    "  --memory MIB  memory of one key's search (default %zu)\n"
    "  --shown N     violations shown for one checker (default %zu)\n"
    "FILE - is standard input. Exit code 0: ok, 1: a violation, 2: undecided or not readable.\n";

static enum check_verdict check_file(const char *name, struct check_limits limits) {
    struct record record;
    char error[RECORD_ERROR_BYTES];
    enum check_verdict verdict = CHECK_UNKNOWN;
    FILE *in = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    if (in == NULL) {
        printf("%s: %s\n", name, strerror(errno));
        return verdict;
    }
    record_init(&record);
    if (record_load(&record, in, error) != 0) {
        printf("%s: %s\n", name, error);
    } else if (record.count == 0) {
        printf("%s: no operations\n", name); // an empty file proves nothing
    } else {
        printf("%s: %zu operations%s%s\n", name, record.count, record.meta == NULL ? "" : ", ",
               record.meta == NULL ? "" : record.meta);
        verdict = check_all(&record, stdout, limits);
        printf("%s: %s\n", name, check_verdict_name(verdict));
    }
    record_free(&record);
    if (in != stdin) fclose(in);
    return verdict;
}

static int number_option(const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' ? -1 : 0;
}

int main(int argc, char **argv) {
    struct check_limits limits = check_limits_default();
    bool violation = false, unknown = false;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        uint64_t number;
        if (number_option(argv[at + 1], &number) != 0) break;
        if (strcmp(argv[at], "--steps") == 0)
            limits.steps = number;
        else if (strcmp(argv[at], "--memory") == 0)
            limits.memory = (size_t)number << 20;
        else if (strcmp(argv[at], "--shown") == 0)
            limits.shown = number;
        else
            break;
    }
    if (at >= argc || strncmp(argv[at], "--", 2) == 0) {
        struct check_limits usual = check_limits_default();
        fprintf(stderr, usage, usual.steps, usual.memory >> 20, usual.shown);
        return 2;
    }
    for (; at < argc; at++) {
        enum check_verdict verdict = check_file(argv[at], limits);
        violation = violation || verdict == CHECK_VIOLATION;
        unknown = unknown || verdict == CHECK_UNKNOWN;
    }
    return violation ? 1 : unknown ? 2 : 0;
}
