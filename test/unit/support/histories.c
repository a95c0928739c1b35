#include "support/histories.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static record_text text_of(struct record *record, const char *word) {
    return strcmp(word, "-") == 0 ? RECORD_NULL : record_intern(record, word);
}

static enum record_op op_of(const char *word) {
    enum record_op op = 0;
    while (op < RECORD_OP_COUNT && strcmp(record_op_name(op), word) != 0) op++;
    ENSURE(op < RECORD_OP_COUNT);
    return op;
}

static void parse_times(struct record_operation *o, const char *word) {
    char *end;
    o->call_us = strtoull(word, &end, 10);
    o->return_us = o->call_us;
    if (*end == '-') o->return_us = end[1] == '\0' ? RECORD_NEVER : strtoull(end + 1, NULL, 10);
    o->outcome = o->return_us == RECORD_NEVER ? RECORD_UNKNOWN : RECORD_OK;
}

static bool parse_flag(struct record_operation *o, const char *word) {
    if (strcmp(word, "!") == 0)
        o->outcome = RECORD_FAIL;
    else if (strcmp(word, "?") == 0)
        o->outcome = RECORD_UNKNOWN;
    else if (strcmp(word, "local") == 0)
        o->consistency = RECORD_LOCAL;
    else if (strcmp(word, "in") == 0 || strcmp(word, "out") == 0)
        o->found = word[0] == 'i';
    else if (strcmp(word, "data") == 0)
        o->watch = RECORD_WATCH_DATA;
    else if (strcmp(word, "child") == 0)
        o->watch = RECORD_WATCH_CHILD;
    else if (strcmp(word, "persistent") == 0)
        o->watch = RECORD_WATCH_PERSISTENT;
    else
        return false;
    return true;
}

static void parse_error(struct record_operation *o, const char *word) {
    o->outcome = RECORD_FAIL;
    o->error = strcmp(word, "no_node") == 0       ? RECORD_NO_NODE
               : strcmp(word, "node_exists") == 0 ? RECORD_NODE_EXISTS
                                                  : RECORD_BAD_VERSION;
}

static bool parse_field(struct record *record, struct record_operation *o, const char *word) {
    const char *value = strchr(word, '=');
    if (value++ == NULL) return parse_flag(o, word);
    uint64_t number = strtoull(value, NULL, 10);
    if (strncmp(word, "z=", 2) == 0)
        o->zxid = number;
    else if (strncmp(word, "v=", 2) == 0)
        o->version = (int64_t)number;
    else if (strncmp(word, "m=", 2) == 0)
        o->multi = number;
    else if (strncmp(word, "r=", 2) == 0)
        o->received = number;
    else if (strncmp(word, "e=#", 3) == 0)
        o->expect_version = (int64_t)strtoull(value + 1, NULL, 10);
    else if (strncmp(word, "e=", 2) == 0)
        o->expect = text_of(record, value);
    else if (strncmp(word, "err=", 4) == 0)
        parse_error(o, value);
    else
        return false;
    return true;
}

static void parse_line(struct record *record, char *line) {
    char *left, *word = strtok_r(line, " ", &left);
    if (word == NULL) return;
    struct record_operation o = record_operation_of(strtoull(word, NULL, 10), record->count + 1, RECORD_READ, 0);
    parse_times(&o, strtok_r(NULL, " ", &left));
    o.op = op_of(strtok_r(NULL, " ", &left));
    if ((word = strtok_r(NULL, " ", &left)) != NULL) o.key = text_of(record, word);
    bool valued = false;
    while ((word = strtok_r(NULL, " ", &left)) != NULL) {
        if (parse_field(record, &o, word)) continue;
        ENSURE(!valued);
        valued = true;
        o.value = text_of(record, word);
    }
    record_append(record, &o);
}

void histories_parse(struct record *record, const char *text) {
    char *copy = strdup(text), *left, *line = strtok_r(copy, "\n", &left);
    for (; line != NULL; line = strtok_r(NULL, "\n", &left)) parse_line(record, line);
    free(copy);
}

static enum check_verdict verdict_of(const struct history_case *one, const struct record *record) {
    struct check_limits limits = check_limits_default();
    if (one->checker == NULL) return check_all(record, NULL, limits);
    const struct checker *checker = checkers;
    while (checker->name != NULL && strcmp(checker->name, one->checker) != 0) checker++;
    ENSURE(checker->name != NULL);
    struct check_result result;
    check_run(checker, record, &limits, &result);
    enum check_verdict verdict = result.verdict;
    check_result_free(&result);
    return verdict;
}

void histories_run(const struct history_case *cases, size_t count) {
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        struct record record;
        record_init(&record);
        histories_parse(&record, cases[i].text);
        enum check_verdict verdict = verdict_of(&cases[i], &record);
        bool good = verdict == cases[i].verdict;
        if (cases[i].verdict == CHECK_OK) good = good && check_all(&record, NULL, check_limits_default()) == CHECK_OK;
        if (!good) {
            fprintf(stderr, "%s: %s, not %s\n", cases[i].name, check_verdict_name(verdict),
                    check_verdict_name(cases[i].verdict));
            check_all(&record, stderr, check_limits_default());
            failed++;
        }
        record_free(&record);
    }
    ENSURE(failed == 0);
}
