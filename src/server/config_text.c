// settings.def as --help and as docs/settings.md.
#include "server/config.h"
#include <stdio.h>
#include <string.h>

static void text(struct writer *w, const char *words) {
    write_span(w, bytes_of_text(words));
}

static void pad(struct writer *w, size_t from, size_t width) {
    while (w->len - from < width) write_u8(w, ' ');
}

static void allowed(const struct setting_row *row, char out[96]) {
    switch (row->type) {
    case SETTING_TYPE_NUMBER:
        snprintf(out, 96, "%llu to %llu", (unsigned long long)row->low, (unsigned long long)row->high);
        return;
    case SETTING_TYPE_POWER:
        snprintf(out, 96, "a power of two, %llu to %llu", (unsigned long long)row->low, (unsigned long long)row->high);
        return;
    case SETTING_TYPE_BYTES:
        snprintf(out, 96, "%llu to %llu bytes; K, M, G, T", (unsigned long long)row->low,
                 (unsigned long long)row->high);
        return;
    case SETTING_TYPE_DURATION:
        snprintf(out, 96, "%llu to %llu ms; ms, s, m, h", (unsigned long long)row->low, (unsigned long long)row->high);
        return;
    case SETTING_TYPE_LISTEN:
        snprintf(out, 96, "HOST:PORT, PORT%s or off", row->low != 0 ? ", HOST" : "");
        return;
    case SETTING_TYPE_CHOICE: {
        size_t at = 0;
        for (const char *c = row->argument; *c != 0 && at < 90; c++) {
            if (*c == '|') {
                out[at++] = ',';
                out[at++] = ' ';
            } else {
                out[at++] = *c;
            }
        }
        out[at] = 0;
        return;
    }
    case SETTING_TYPE_BOOL:
        snprintf(out, 96, "on, off");
        return;
    case SETTING_TYPE_ADDRESS:
    case SETTING_TYPE_PATH:
    case SETTING_TYPE_TEXT:
    case SETTING_TYPE_CLUSTER:
        snprintf(out, 96, "%s", row->argument);
        return;
    }
}

void config_write_help(struct writer *w) {
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        if (setting_section((enum setting)i) != NULL) {
            text(w, i == 0 ? "" : "\n");
            text(w, setting_section((enum setting)i));
            text(w, ":\n");
        }
        size_t from = w->len;
        text(w, "  --");
        text(w, row->name);
        text(w, " ");
        text(w, row->argument);
        if (w->len - from > 38) {
            text(w, "\n");
            from = w->len;
        }
        pad(w, from, 40);
        text(w, row->help);
        if (row->standard[0] != 0 && strcmp(row->standard, "off") != 0) {
            text(w, " [");
            text(w, row->standard);
            text(w, "]");
        }
        text(w, "\n");
    }
}

static void cell(struct writer *w, const char *words, bool code) {
    text(w, " ");
    if (code && words[0] != 0) text(w, "`");
    for (const char *c = words; *c != 0; c++) {
        if (*c == '|') text(w, "\\");
        write_u8(w, (uint8_t)*c);
    }
    if (code && words[0] != 0) text(w, "`");
    text(w, words[0] != 0 ? " |" : "|");
}

void config_write_markdown(struct writer *w) {
    text(w, "# Settings of `parley server`\n\n"
            "Each is a flag (`--name value` or `--name=value`) and a line of the file that `--config FILE` names "
            "(`name = value` or\n"
            "`name value`; `#` begins a comment). Flags win over the file. A bad setting ends the start with exit code "
            "2 and a line that\n"
            "says which flag or line it was, what was wrong, and what is allowed. `off` in place of an address closes "
            "that listener.\n\n"
            "This page is made from `src/server/settings.def` by `parley generate settings`; a test compares them.\n");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_row *row = setting_row((enum setting)i);
        char range[96];
        if (setting_section((enum setting)i) != NULL) {
            text(w, "\n## ");
            text(w, setting_section((enum setting)i));
            text(w, "\n\n| name | default | allowed | what it does | why |\n| --- | --- | --- | --- | --- |\n");
        }
        allowed(row, range);
        text(w, "|");
        cell(w, row->name, true);
        cell(w, row->standard, true);
        cell(w, range, false);
        cell(w, row->help, false);
        cell(w, row->reason, false);
        text(w, "\n");
    }
}
