// Bodies that are one flat object of plain text and whole numbers, as nearly all are: read in place against the
// operation's fields, without a tree. What is in any way special, or wrong, is left to the library: it says what is
// wrong, and it alone decides about escapes and bytes beyond ASCII.
#include "protocol/http/native_internal.h"
#include <stdlib.h>
#include <string.h>

struct flat {
    char *at; // ends with a zero byte
    struct http_call *call;
};

static void skip_space(struct flat *flat) {
    while (*flat->at == ' ' || *flat->at == '\t' || *flat->at == '\n' || *flat->at == '\r') flat->at++;
}

static bool take_char(struct flat *flat, char wanted) {
    skip_space(flat);
    if (*flat->at != wanted) return false;
    flat->at++;
    return true;
}

// A string of plain ASCII; a zero byte takes the place of the quote behind it.
static bool take_plain(struct flat *flat, struct bytes *out) {
    if (!take_char(flat, '"')) return false;
    const char *from = flat->at;
    while (*flat->at >= ' ' && *flat->at < 127 && *flat->at != '"' && *flat->at != '\\') flat->at++;
    if (*flat->at != '"') return false;
    *out = bytes_of(from, (size_t)(flat->at - from));
    *flat->at++ = 0;
    return true;
}

static bool take_digits(struct flat *flat, uint64_t *out) {
    skip_space(flat);
    size_t digits = 0;
    uint64_t number = 0;
    for (; flat->at[digits] >= '0' && flat->at[digits] <= '9'; digits++) {
        if (digits == 18) return false;
        number = number * 10 + (uint64_t)(flat->at[digits] - '0');
    }
    if (digits == 0 || (digits > 1 && *flat->at == '0')) return false;
    flat->at += digits;
    *out = number;
    return *flat->at != '.' && *flat->at != 'e' && *flat->at != 'E';
}

static bool take_word(struct flat *flat, const char *word) {
    size_t len = strlen(word);
    if (strncmp(flat->at, word, len) != 0) return false;
    flat->at += len;
    return true;
}

// The call's body becomes the list, which owns the numbers.
static bool take_list(struct flat *flat, const struct native_field *field, struct native_value *out) {
    if (flat->call->open->body != NULL || !take_char(flat, '[')) return false;
    out->list = flat->call->open->body = json_array();
    do {
        uint64_t number;
        if (!take_digits(flat, &number) || number == 0) return false;
        json_array_append_new(flat->call->open->body, json_number(number));
    } while (take_char(flat, ','));
    size_t count = json_array_size(out->list);
    return take_char(flat, ']') && count >= field->low && count <= field->high;
}

static bool take_value(struct flat *flat, const struct native_field *field, struct native_value *out) {
    uint64_t session;
    uint8_t secret[LEASE_PASSWORD_BYTES];
    out->given = true;
    switch (field->type) {
    case NATIVE_TEXT:
        return take_plain(flat, &out->text) && out->text.len >= field->low && out->text.len <= field->high;
    case NATIVE_CHOICE:
        return take_plain(flat, &out->text) && native_choice(field, out);
    case NATIVE_SESSION:
        return take_plain(flat, &out->text) && session_parse((const char *)out->text.data, &session, secret);
    case NATIVE_NUMBER:
        return take_digits(flat, &out->number) && out->number >= field->low && out->number <= field->high;
    case NATIVE_SIGNED:
        return take_digits(flat, &out->number) && (int64_t)out->number >= (int64_t)field->low &&
               (int64_t)out->number <= (int64_t)field->high;
    case NATIVE_BOOL:
        skip_space(flat);
        out->number = *flat->at == 't';
        return take_word(flat, out->number ? "true" : "false");
    case NATIVE_NUMBERS:
        return take_list(flat, field, out);
    default:
        return false;
    }
}

static bool take_member(struct flat *flat) {
    struct bytes name;
    const struct native_field *field = flat->call->operation->fields;
    if (!take_plain(flat, &name)) return false;
    while (field->name != NULL && strcmp(field->name, (const char *)name.data) != 0) field++;
    if (field->name == NULL || !take_char(flat, ':')) return false;
    struct native_value *value = &flat->call->open->values[field - flat->call->operation->fields];
    return !value->given && take_value(flat, field, value);
}

bool native_flat(struct http_call *call, char *text, size_t len) {
    struct flat flat = {.at = text, .call = call};
    const struct native_field *fields = call->operation->fields;
    native_standards(call);
    if (!take_char(&flat, '{')) return false;
    if (!take_char(&flat, '}')) {
        do {
            if (!take_member(&flat)) return false;
        } while (take_char(&flat, ','));
        if (!take_char(&flat, '}')) return false;
    }
    skip_space(&flat);
    for (size_t i = 0; fields[i].name != NULL; i++)
        if (fields[i].required && !call->open->values[i].given) return false;
    return flat.at == text + len; // a zero byte in the middle is none of ours
}
