// The table of commands: by number, by name, and where their keys stand.
#include "base/hash.h"
#include "model/keys/keys_commands.h"
#include "model/keys/keys_internal.h"
#include <string.h>

#define NAME_BYTES_MAX 64u // "command|getkeysandflags" and the like

const char *const keys_flag_names[KEYS_FLAG_COUNT] = {
#define X(name, text) text,
    KEYS_FLAGS(X)
#undef X
};
const char *const keys_category_names[KEYS_CATEGORY_COUNT] = {
#define X(name, text) text,
    KEYS_CATEGORIES(X)
#undef X
};

const struct keys_row keys_rows[] = {
#define X(number, name, arity, first, last, step, flags, categories, handler)                                          \
    {number, name, arity, first, last, step, flags, categories, handler},
    KEYS_COMMANDS(X)
#undef X
};
const size_t keys_row_count = sizeof keys_rows / sizeof keys_rows[0];

enum {
#define X(number, name, arity, first, last, step, flags, categories, handler) PLACE_##number,
    KEYS_COMMANDS(X)
#undef X
};
static const uint16_t by_number[] = { // place + 1
#define X(number, name, arity, first, last, step, flags, categories, handler) [number] = PLACE_##number + 1,
    KEYS_COMMANDS(X)
#undef X
};

const struct keys_row *keys_row_of(uint16_t number) {
    if (number >= sizeof by_number / sizeof by_number[0] || by_number[number] == 0) return NULL;
    return &keys_rows[by_number[number] - 1];
}

// ---- by name: filled before main, always alike

#define SLOTS 2048u
static uint16_t by_name[SLOTS]; // place + 1

static uint32_t slot_of_name(const char *name, size_t len) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < len; i++) hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
    return (uint32_t)(hash >> 32) & (SLOTS - 1);
}

__attribute__((constructor)) static void fill(void) {
    for (size_t i = 0; i < keys_row_count; i++) {
        uint32_t at = slot_of_name(keys_rows[i].name, strlen(keys_rows[i].name));
        while (by_name[at] != 0) at = (at + 1) & (SLOTS - 1);
        by_name[at] = (uint16_t)(i + 1);
    }
}

static const struct keys_row *find(const char *name, size_t len) {
    for (uint32_t at = slot_of_name(name, len); by_name[at] != 0; at = (at + 1) & (SLOTS - 1)) {
        const struct keys_row *row = &keys_rows[by_name[at] - 1];
        if (strlen(row->name) == len && memcmp(row->name, name, len) == 0) return row;
    }
    return NULL;
}

static size_t lower_into(char *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        out[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] | 0x20 : text.data[i]);
    return text.len;
}

const struct keys_row *keys_row_find(struct bytes name, struct bytes first_argument) {
    char text[NAME_BYTES_MAX];
    if (name.len == 0 || name.len > NAME_BYTES_MAX / 2 || memchr(name.data, '|', name.len) != NULL) return NULL;
    size_t len = lower_into(text, name);
    const struct keys_row *row = find(text, len);
    if (row == NULL || row->run != NULL || first_argument.len == 0 || first_argument.len + 1 > NAME_BYTES_MAX / 2)
        return row;
    text[len] = '|';
    const struct keys_row *sub = find(text, len + 1 + lower_into(text + len + 1, first_argument));
    return sub != NULL ? sub : row;
}

// NAME [target] numkeys key ...
static size_t counted_positions(const struct keys_row *row, const struct bytes *argv, size_t argc, uint32_t *positions,
                                size_t max) {
    size_t targets = row->first == 0 ? 0 : 1, at = 1 + targets;
    int64_t count;
    if (argc < at + 2 || !number_read(argv[at], &count) || count < 1 || (uint64_t)count > argc - at - 1) return 0;
    for (size_t i = 0; i < targets + (size_t)count && i < max; i++)
        positions[i] = (uint32_t)(i < targets ? 1 : at + 1 + i - targets);
    return targets + (size_t)count;
}

size_t keys_positions(const struct keys_row *row, const struct bytes *argv, size_t argc, uint32_t *positions,
                      size_t max) {
    size_t count = 0;
    if ((row->flags & KEYS_MOVABLEKEYS) != 0) return counted_positions(row, argv, argc, positions, max);
    if (row->first == 0) return 0;
    size_t last = row->last >= 0 ? (size_t)row->last : argc - (size_t)-row->last;
    for (size_t at = (size_t)row->first; at <= last && at < argc; at += (size_t)row->step, count++)
        if (count < max) positions[count] = (uint32_t)at;
    return count;
}
