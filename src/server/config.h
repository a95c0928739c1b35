// The configuration of `parley server`: settings.def read from flags and a file, checked, and shown. Every bad setting
// gives one line that names its flag or its line in the file, what was wrong with it and what is allowed.
#pragma once
#include "base/bytes.h"
#include "replica/core.h"
#include <stdbool.h>
#include <stdint.h>

enum setting {
#define SECTION(title)
#define SETTING(identifier, ...) SETTING_##identifier,
#include "server/settings.def"
    SETTING_COUNT
};
enum setting_type {
    SETTING_TYPE_NUMBER,
    SETTING_TYPE_POWER, // a power of two
    SETTING_TYPE_BYTES,
    SETTING_TYPE_DURATION,
    SETTING_TYPE_LISTEN,
    SETTING_TYPE_ADDRESS,
    SETTING_TYPE_PATH,
    SETTING_TYPE_TEXT,
    SETTING_TYPE_CLUSTER,
    SETTING_TYPE_BOOL,
    SETTING_TYPE_CHOICE,
};
struct setting_row {
    const char *section, *name; // one of them: a section's title, or a setting
    enum setting_type type;
    const char *standard; // the default; "": none
    uint64_t low, high;
    const char *argument, *help, *reason;
};
const struct setting_row *setting_row(enum setting setting);
const char *setting_section(enum setting setting); // the title when it is the first of its section; else NULL

struct config_value {
    char *text;      // owned; LISTEN and ADDRESS in their full form ("localhost:2181"); "" is none or off
    uint64_t number; // NUMBER, POWER, BYTES, DURATION (ms), BOOL, CHOICE (place of the word)
    char *source;    // owned: "--http", "parley.conf:3: http"; NULL: the default
};
struct config {
    struct config_value values[SETTING_COUNT];
    struct core_peer peers[MEMBERS_MAX]; // of --cluster, ascending by id
    size_t peer_count;
    struct writer errors; // lines
    struct writer notes;  // lines worth printing at start, such as an even number of voters
};

enum config_outcome { CONFIG_OK, CONFIG_BAD, CONFIG_HELP };
// arguments: flags only, without the program's and the command's name. BAD: config_errors says why. Free it in every
// case.
enum config_outcome config_load(struct config *config, int count, char *const *arguments);
void config_free(struct config *config);
const char *config_errors(struct config *config); // one line each, with newlines; "" when there are none
const char *config_notes(struct config *config);

const char *config_text(const struct config *config, enum setting setting); // NULL: none, or off
uint64_t config_number(const struct config *config, enum setting setting);
bool config_given(const struct config *config, enum setting setting); // by a flag or the file

// "100ms" "2s" "5m" "1h", a bare number is ms. "64K" "64M" "1G" (of 1024), a bare number is bytes. false: neither.
bool config_parse_duration(const char *text, uint64_t *ms);
bool config_parse_bytes(const char *text, uint64_t *bytes);
// "host:port", "port" (on localhost), "host" (with port_default, unless 0), "[::1]:port". false: error says what is
// wrong.
bool config_parse_address(const char *text, uint32_t port_default, char out[ADDRESS_TEXT_MAX], char error[256]);
// The nearest of `names` by single edits, or NULL when none is near.
const char *config_nearest(const char *word, const char *const *names, size_t count);

// ---- settings.def as text (config_text.c); appended to w
void config_write_help(struct writer *w);
void config_write_markdown(struct writer *w);
