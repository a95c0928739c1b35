#include "via/kit.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define PAUSE_MS_MAX 50u

uint64_t kit_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum parley_error kit_problem(struct parley_problem *problem, enum parley_error error, const char *format, ...) {
    va_list arguments;
    *problem = (struct parley_problem){.error = error};
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    for (char *at = problem->text; *at != 0; at++) {
        if (*at == '\n') *at = ' '; // one line
    }
    return error;
}

const char *kit_parameter(const struct via_url *url, const char *name) {
    for (size_t i = 0; i < url->parameter_count; i++) {
        if (strcmp(url->parameters[i].name, name) == 0) return url->parameters[i].value;
    }
    return NULL;
}

bool kit_parameters_known(const struct via_url *url, const char *names, struct parley_problem *problem) {
    for (size_t i = 0; i < url->parameter_count; i++) {
        const char *at = strstr(names, url->parameters[i].name);
        size_t len = strlen(url->parameters[i].name);
        if (at != NULL && (at == names || at[-1] == ' ') && (at[len] == 0 || at[len] == ' ')) continue;
        kit_problem(problem, PARLEY_BAD_ARGUMENTS, "%s:// knows no ?%s", url->scheme, url->parameters[i].name);
        return false;
    }
    return true;
}

bool kit_pause(struct kit_pause *pause, uint64_t until_ms) {
    uint64_t now_ms = kit_now_ms();
    if (now_ms >= until_ms) return false;
    if (pause->seed == 0 && getrandom(&pause->seed, sizeof pause->seed, 0) < 0) pause->seed = 1;
    pause->length_ms = pause->length_ms == 0                 ? 1
                       : pause->length_ms * 2 < PAUSE_MS_MAX ? pause->length_ms * 2
                                                             : PAUSE_MS_MAX;
    uint64_t us = pause->length_ms * 500;
    us += (uint64_t)rand_r(&pause->seed) % (us + 1);
    if (until_ms != KIT_NEVER && us > (until_ms - now_ms) * 1000) us = (until_ms - now_ms) * 1000;
    struct timespec length = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&length, NULL);
    return true;
}

bool kit_escape(char *out, size_t size, const char *name) {
    size_t used = 0;
    for (; *name != 0; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = isalnum(c) || c == '-' || c == '_' || (c == '.' && used > 0);
        if (used + (plain ? 1 : 3) >= size) return false;
        used += (size_t)(plain ? (out[used] = (char)c, 1) : snprintf(out + used, size - used, "%%%02X", c));
    }
    out[used] = 0;
    return true;
}
