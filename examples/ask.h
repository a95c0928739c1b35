// What the examples of operations without a function of their own share: one call each, and numbers out of its answer.
// (A program would read answers with a JSON library.)
#pragma once
#include <parley.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// An operation of docs/native.md that may be repeated, with its body as printf makes it. Waits for wait_ms if that is
// not 0. NULL: it failed, and the reason was printed. Else the answer, to be freed.
__attribute__((format(printf, 4, 5))) static inline char *ask(struct parley_client *client, const char *operation,
                                                              unsigned wait_ms, const char *format, ...) {
    char body[1024], *answer;
    struct parley_problem problem;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    enum parley_error error = wait_ms > 0 ? parley_call_wait(client, operation, body, wait_ms, true, &answer, &problem)
                                          : parley_call(client, operation, body, true, &answer, &problem);
    if (error != PARLEY_OK) fprintf(stderr, "%s: %s\n", operation, problem.text);
    return answer;
}

static inline long long number(const char *answer, const char *name) { // -1: there is none
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *at = answer != NULL ? strstr(answer, pattern) : NULL;
    return at != NULL ? atoll(at + strlen(pattern)) : -1;
}

static inline long long number_of(char *answer, const char *name) { // and frees the answer
    long long found = number(answer, name);
    free(answer);
    return found;
}

static inline bool done(char *answer) {
    free(answer);
    return answer != NULL;
}

static inline struct parley_client *open_client(int argc, char **argv) { // NULL: the reason was printed
    struct parley_client *client;
    struct parley_problem problem;
    if (parley_open(argc > 1 ? argv[1] : "localhost:7450", NULL, &client, &problem) != PARLEY_OK)
        fprintf(stderr, "%s\n", problem.text);
    return client;
}
