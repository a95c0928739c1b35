#include "cli/options.h"
#include "server/config.h"
#include "server/server.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct option_table *table) {
    printf("usage: %s\n\n%s\n", table->usage, table->about);
    if (table->count > 0) printf("\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        char flag[96];
        char letter[8] = "";
        if (row->letter != 0) snprintf(letter, sizeof letter, "-%c, ", row->letter);
        snprintf(flag, sizeof flag, "%s--%s%s%s", letter, row->name, row->argument != NULL ? " " : "",
                 row->argument != NULL ? row->argument : "");
        printf("  %-28s %s\n", flag, row->help);
    }
}

int options_wrong(const struct option_table *table, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "parley %s: %s\nusage: %s\n", table->command, text, table->usage);
    return EXIT_USAGE;
}

static const struct option_row *find(const struct option_table *table, const char *name, size_t len, char letter) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (letter != 0 ? row->letter == letter : strlen(row->name) == len && strncmp(row->name, name, len) == 0)
            return row;
    }
    return NULL;
}

static int unknown(const struct option_table *table, const char *flag) {
    const char *names[32];
    size_t count = 0;
    for (; count < table->count && count < 32; count++) names[count] = table->rows[count].name;
    const char *near = flag[1] == '-' ? config_nearest(flag + 2, names, count) : NULL;
    if (near != NULL) return options_wrong(table, "%s is unknown; did you mean --%s?", flag, near);
    return options_wrong(table, "%s is unknown", flag);
}

int options_read(const struct option_table *table, int argc, char **argv, char **arguments, size_t *argument_count) {
    bool flags = true;
    *argument_count = 0;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (flags && strcmp(word, "--") == 0) {
            flags = false;
            continue;
        }
        if (!flags || word[0] != '-' || word[1] == 0) {
            arguments[(*argument_count)++] = word;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(table);
            return 0;
        }
        const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
        size_t len = equals != NULL ? (size_t)(equals - word - 2) : strlen(word) - 2;
        const struct option_row *row = word[1] == '-' ? find(table, word + 2, len, 0)
                                       : word[2] == 0 ? find(table, NULL, 0, word[1])
                                                      : NULL;
        if (row == NULL) return unknown(table, word);
        if (row->argument == NULL) {
            if (equals != NULL) return options_wrong(table, "--%s takes no value", row->name);
            *row->on = true;
        } else if (equals != NULL) {
            *row->text = equals + 1;
        } else if (i + 1 < argc) {
            *row->text = argv[++i];
        } else {
            return options_wrong(table, "%s lacks its value; write --%s %s", word, row->name, row->argument);
        }
    }
    if (*argument_count < table->arguments_min) return options_wrong(table, "an argument is missing");
    if (*argument_count > table->arguments_max)
        return options_wrong(table, "'%s' is unexpected", arguments[table->arguments_max]);
    return -1;
}

bool options_number(const char *text, unsigned long long low, unsigned long long high, unsigned long long *out) {
    if (text[0] == 0 || text[strspn(text, "0123456789")] != 0) return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0 && *out >= low && *out <= high;
}

bool options_u64(const char *text, unsigned long long low, unsigned long long high, uint64_t *out) {
    unsigned long long value = *out;
    bool good = text == NULL || options_number(text, low, high, &value);
    *out = value;
    return good;
}

char **options_command(int *argc, char **argv) {
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--") != 0) continue;
        *argc = i;
        return argv + i + 1;
    }
    return NULL;
}
