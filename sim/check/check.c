#include "sim/check/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "sim/check/guarantees.h"
#include "sim/check/linear.h"
#include "sim/check/locks.h"
#include "sim/check/order.h"
#include "sim/check/sequences.h"
#include "sim/check/sets.h"
#include "sim/check/watches.h"

const struct checker checkers[] = {
    {"linear", linear_check},
    {"guarantees", guarantees_check},
    {"watches", watches_check},
    {"locks", locks_check},
    {"sets", sets_check},
    {"sequences", sequences_check},
    {NULL, NULL},
};

struct check_limits check_limits_default(void) {
    return (struct check_limits){.steps = 20000000, .memory = (size_t)512 << 20, .shown = 3};
}

const char *check_verdict_name(enum check_verdict verdict) {
    static const char *const names[] = {"ok", "violation", "unknown"};
    return names[verdict];
}

static enum check_verdict worse(enum check_verdict a, enum check_verdict b) {
    if (a == CHECK_VIOLATION || b == CHECK_VIOLATION) return CHECK_VIOLATION;
    return a == CHECK_UNKNOWN ? a : b;
}

void check_report(struct check_result *result, const struct check_limits *limits, enum check_verdict verdict,
                  const size_t *operations, size_t count, const char *format, ...) {
    ENSURE(verdict != CHECK_OK);
    if (verdict == CHECK_VIOLATION)
        result->violations++;
    else
        result->unknowns++;
    result->verdict = worse(result->verdict, verdict);
    // An "unknown" never takes the place of a violation, which may come later.
    size_t of_this_kind = verdict == CHECK_VIOLATION ? result->violations : result->unknowns;
    if (of_this_kind > limits->shown) return;
    result->findings = mem_realloc(result->findings, (result->count + 1) * sizeof *result->findings);
    struct check_finding *finding = &result->findings[result->count++];
    *finding = (struct check_finding){.verdict = verdict, .count = count};
    finding->operations = mem_alloc(count * sizeof *operations);
    if (count > 0) memcpy(finding->operations, operations, count * sizeof *operations);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->reason, sizeof finding->reason, format, arguments);
    va_end(arguments);
}

void check_convict(struct check_result *result, const struct check_limits *limits, const struct record *record,
                   const struct record_operation *first, const struct record_operation *second, const char *format,
                   ...) {
    char text[CHECK_REASON_BYTES / 2];
    size_t both[2], count = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (first != NULL) both[count++] = order_index(record, first);
    both[count++] = order_index(record, second);
    bool keyed = second->key != RECORD_NULL;
    check_report(result, limits, CHECK_VIOLATION, both, count, "client %" PRIu64 "%s%s: %s", second->client,
                 keyed ? ", " : "", keyed ? record_string(record, second->key) : "", text);
}

void check_run(const struct checker *checker, const struct record *record, const struct check_limits *limits,
               struct check_result *result) {
    *result = (struct check_result){.verdict = CHECK_OK};
    checker->run(record, limits, result);
}

void check_result_free(struct check_result *result) {
    for (size_t i = 0; i < result->count; i++) mem_free(result->findings[i].operations);
    mem_free(result->findings);
    *result = (struct check_result){0};
}

#define SHOWN_OPERATIONS 50u

static void print(const struct record *record, const struct checker *checker, const struct check_result *result,
                  FILE *out) {
    fprintf(out, "%-12s %-10s %8zu operations %6zu violations %4zu unknown\n", checker->name,
            check_verdict_name(result->verdict), result->checked, result->violations, result->unknowns);
    for (size_t i = 0; i < result->count; i++) {
        const struct check_finding *finding = &result->findings[i];
        fprintf(out, "  %s: %s\n", check_verdict_name(finding->verdict), finding->reason);
        if (finding->count > SHOWN_OPERATIONS)
            fprintf(out, "    (the last %u of %zu operations)\n", SHOWN_OPERATIONS, finding->count);
        size_t first = finding->count > SHOWN_OPERATIONS ? finding->count - SHOWN_OPERATIONS : 0;
        for (size_t j = first; j < finding->count; j++) {
            fputs("    ", out);
            record_write_operation(record, &record->operations[finding->operations[j]], out);
        }
    }
}

enum check_verdict check_all(const struct record *record, FILE *out, struct check_limits limits) {
    enum check_verdict verdict = CHECK_OK;
    for (const struct checker *checker = checkers; checker->name != NULL; checker++) {
        struct check_result result;
        check_run(checker, record, &limits, &result);
        if (out != NULL) print(record, checker, &result, out);
        verdict = worse(verdict, result.verdict);
        check_result_free(&result);
    }
    return verdict;
}
