// Errors of the servers, as parley.h tells them.
#include "client/internal.h"
#include <stdio.h>
#include <string.h>

const char *parley_error_name(enum parley_error error) {
#define NAME(name, text) [name] = #name,
    static const char *const names[] = {PARLEY_ERRORS(NAME)};
    return (size_t)error < sizeof names / sizeof names[0] ? names[error] : "?";
}

const char *parley_error_text(enum parley_error error) {
#define TEXT(name, text) [name] = text,
    static const char *const texts[] = {PARLEY_ERRORS(TEXT)};
    return (size_t)error < sizeof texts / sizeof texts[0] ? texts[error] : "?";
}

void problem_set(struct parley_problem *problem, enum parley_error error, const char *text) {
    if (problem == NULL) return;
    *problem = (struct parley_problem){.error = error};
    if (error == PARLEY_OK) return;
    snprintf(problem->text, sizeof problem->text, "%s%s%s", parley_error_text(error), text[0] != 0 ? ": " : "", text);
}

bool text_good(const char *text, size_t least, size_t most) {
    size_t len = text != NULL ? strlen(text) : 0;
    json_t *json = text != NULL && len >= least && len <= most ? json_string(text) : NULL; // NULL if it is no UTF-8
    json_decref(json);
    return json != NULL;
}

static const char *text_of(const json_t *json, const char *member) {
    const char *text = json_string_value(json_object_get(json, member));
    return text != NULL ? text : "";
}

const char *problem_name(const json_t *json) {
    const char *type = text_of(json, "type");
    return strncmp(type, "/errors/", 8) == 0 ? type + 8 : "";
}

static enum parley_error error_of(int status, const char *name) {
    static const struct {
        const char *name;
        enum parley_error error;
    } errors[] = {{"busy", PARLEY_BUSY},
                  {"timed-out", PARLEY_TIMED_OUT},
                  {"cancelled", PARLEY_CANCELLED},
                  {"not-held", PARLEY_NOT_HELD},
                  {"deadlock", PARLEY_DEADLOCK},
                  {"kind", PARLEY_KIND},
                  {"limit", PARLEY_LIMIT},
                  {"forbidden", PARLEY_FORBIDDEN},
                  {"bad-request", PARLEY_BAD_ARGUMENTS},
                  {"session-expired", PARLEY_LOST},
                  {"in-progress", PARLEY_BUSY},
                  {"mismatch", PARLEY_MISMATCH}};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, name) == 0) return errors[i].error;
    return name[0] == 0    ? PARLEY_PROTOCOL
           : status == 503 ? PARLEY_NOT_APPLIED
           : status == 504 ? PARLEY_UNKNOWN
                           : PARLEY_REFUSED;
}

enum parley_error problem_read(int status, const json_t *json, struct parley_problem *problem) {
    const char *detail = text_of(json, "detail"), *circle = text_of(json, "circle");
    enum parley_error error = error_of(status, problem_name(json));
    char text[320];
    snprintf(text, sizeof text, "%.100s%s%.200s", text_of(json, "title"), detail[0] != 0 || circle[0] != 0 ? ": " : "",
             circle[0] != 0 ? circle : detail);
    *problem =
        (struct parley_problem){.error = error, .token = (uint64_t)json_integer_value(json_object_get(json, "token"))};
    snprintf(problem->text, sizeof problem->text, "%s", text[0] != 0 ? text : parley_error_text(error));
    snprintf(problem->holder, sizeof problem->holder, "%s", text_of(json, "holder"));
    return error;
}

enum parley_error problem_outcome(const struct exchange *x, enum outcome outcome, int status, const json_t *json,
                                  struct parley_problem *problem) {
    bool closed = x->timer.client->ended;
    if (outcome == OUTCOME_ANSWERED && status == 200 && json_is_object(json)) {
        problem_set(problem, PARLEY_OK, "");
        return PARLEY_OK;
    }
    if (outcome == OUTCOME_ANSWERED) return problem_read(status, json, problem);
    enum parley_error error = closed ? PARLEY_CLOSED : outcome == OUTCOME_UNKNOWN ? PARLEY_UNKNOWN : PARLEY_NOT_APPLIED;
    problem_set(problem, error, x->trouble);
    return error;
}
