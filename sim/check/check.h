// Checkers over recorded histories. Each is a function of the record alone; none shares state with another.
#pragma once
#include "sim/check/record.h"

enum check_verdict { CHECK_OK, CHECK_VIOLATION, CHECK_UNKNOWN };

struct check_limits {
    uint64_t steps; // of one search (one key, or one joined group)
    size_t memory;  // bytes of one search
    size_t shown;   // violations that are shown for one checker
};
struct check_limits check_limits_default(void);

#define CHECK_REASON_BYTES 512u
struct check_finding {
    enum check_verdict verdict;
    char reason[CHECK_REASON_BYTES];
    size_t *operations; // indexes into the record: the shortest sub-history that shows it
    size_t count;
};
// What one checker says. verdict: violation if any finding is one, else unknown if any is, else ok.
struct check_result {
    enum check_verdict verdict;
    size_t checked;              // operations that this checker had something to say about; 0: not its kind of history
    size_t violations, unknowns; // found, also those beyond `shown`
    struct check_finding *findings; // at most `shown` of each verdict
    size_t count;
};
typedef void (*check_fn)(const struct record *record, const struct check_limits *limits, struct check_result *result);

struct checker {
    const char *name;
    check_fn run;
};
extern const struct checker checkers[]; // ends with a NULL name

// Runs all; prints a row for each checker and its findings (out may be NULL); gives the worst verdict.
enum check_verdict check_all(const struct record *record, FILE *out, struct check_limits limits);

// One checker: result_free afterwards.
void check_run(const struct checker *checker, const struct record *record, const struct check_limits *limits,
               struct check_result *result);
void check_result_free(struct check_result *result);
const char *check_verdict_name(enum check_verdict verdict);

// For checkers: adds a finding with the operations given.
__attribute__((format(printf, 6, 7))) void check_report(struct check_result *result, const struct check_limits *limits,
                                                        enum check_verdict verdict, const size_t *operations,
                                                        size_t count, const char *format, ...);
// A violation that two operations show, or (first NULL) one: of this client and, if it names one, this key.
__attribute__((format(printf, 6, 7))) void
check_convict(struct check_result *result, const struct check_limits *limits, const struct record *record,
              const struct record_operation *first, const struct record_operation *second, const char *format, ...);
