// The language of template.h. The text is cut into pieces (words and tags) once, then walked through; a range walks
// through its pieces for each of its items.
#include "base/alloc.h"
#include "cli/template.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct piece {
    struct bytes text; // of a tag: what stands between the braces, without spaces around it
    bool tag;
    unsigned line;
};
struct scope {
    const json_t *service, *instance; // NULL: not within a range of these
    unsigned index;                   // of the innermost range, from 1
};
struct rendering {
    struct piece *pieces;
    size_t count, capacity;
    const struct template_source *source;
    struct writer *out;
    unsigned depth;
    bool failed;
    char *error; // 256 bytes
};

__attribute__((format(printf, 3, 4))) static void fail(struct rendering *r, unsigned line, const char *format, ...) {
    char words[200];
    va_list arguments;
    if (r->failed) return;
    r->failed = true;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    snprintf(r->error, 256, "line %u: %s", line, words);
}

// ---- pieces

static void add_piece(struct rendering *r, struct bytes text, bool tag, unsigned line) {
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 64 : 2 * r->capacity;
        r->pieces = mem_realloc(r->pieces, r->capacity * sizeof *r->pieces);
    }
    r->pieces[r->count++] = (struct piece){text, tag, line};
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes trim(struct bytes text) {
    while (text.len > 0 && (is_blank(text.data[0]) || text.data[0] == '\n'))
        text = bytes_of(text.data + 1, text.len - 1);
    while (text.len > 0 && (is_blank(text.data[text.len - 1]) || text.data[text.len - 1] == '\n')) text.len--;
    return text;
}

static bool shows(struct bytes tag) { // a field; those take no line with them
    static const char *const words[] = {"range", "if", "else", "end", "#"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (tag.len >= strlen(words[i]) && memcmp(tag.data, words[i], strlen(words[i])) == 0) return false;
    return true;
}

// Where the words before a tag end and those behind it begin, when it stands alone on its line.
static void take_line(struct bytes all, size_t begin, size_t *before_end, size_t *after) {
    size_t from = *before_end, to = *after;
    while (from > begin && is_blank(all.data[from - 1])) from--;
    if (from > 0 && all.data[from - 1] != '\n') return;
    while (to < all.len && is_blank(all.data[to])) to++;
    if (to < all.len && all.data[to] != '\n') return;
    *before_end = from;
    *after = to < all.len ? to + 1 : to;
}

static const uint8_t *find(struct bytes all, size_t from, const char *two) {
    return from < all.len ? memmem(all.data + from, all.len - from, two, 2) : NULL;
}

static void cut(struct rendering *r, struct bytes all) {
    unsigned line = 1;
    size_t at = 0;
    for (const uint8_t *open; (open = find(all, at, "{{")) != NULL;) {
        size_t begin = (size_t)(open - all.data);
        const uint8_t *close = find(all, begin + 2, "}}");
        for (size_t i = at; i < begin; i++) line += all.data[i] == '\n';
        if (close == NULL) {
            fail(r, line, "{{ without }}");
            return;
        }
        size_t before_end = begin, after = (size_t)(close - all.data) + 2;
        struct bytes tag = trim(bytes_of(all.data + begin + 2, after - 4 - begin));
        if (!shows(tag)) take_line(all, at, &before_end, &after);
        add_piece(r, bytes_of(all.data + at, before_end - at), false, line);
        add_piece(r, tag, true, line);
        for (size_t i = begin; i < after; i++) line += all.data[i] == '\n';
        at = after;
    }
    add_piece(r, bytes_of(all.data + at, all.len - at), false, line);
}

// ---- tags

static bool is_word(struct bytes tag, const char *word) {
    return bytes_equal(tag, bytes_of_text(word));
}

// "range services" of `range services "a"`: its argument, or "".
static bool begins(struct bytes tag, const char *words, char argument[256], bool *given) {
    size_t len = strlen(words);
    argument[0] = 0;
    *given = false;
    if (tag.len < len || memcmp(tag.data, words, len) != 0) return false;
    struct bytes rest = trim(bytes_of(tag.data + len, tag.len - len));
    if (rest.len == 0) return true;
    if (rest.len < 3 || rest.len > 256 || rest.data[0] != '"' || rest.data[rest.len - 1] != '"') return false;
    snprintf(argument, 256, "%.*s", (int)(rest.len - 2), rest.data + 1);
    *given = true;
    return true;
}

static bool is_block(struct bytes tag) {
    return tag.len > 3 && (memcmp(tag.data, "if ", 3) == 0 || (tag.len > 6 && memcmp(tag.data, "range ", 6) == 0));
}

// The `else` (or `end`) and the `end` of the block that begins at `at`.
static bool find_end(struct rendering *r, size_t at, size_t *otherwise, size_t *end) {
    unsigned depth = 0;
    *otherwise = 0;
    for (size_t i = at + 1; i < r->count; i++) {
        const struct piece *piece = &r->pieces[i];
        if (!piece->tag) continue;
        if (is_block(piece->text)) depth++;
        if (depth == 0 && is_word(piece->text, "else") && *otherwise == 0) *otherwise = i;
        if (!is_word(piece->text, "end")) continue;
        if (depth-- > 0) continue;
        *end = i;
        if (*otherwise == 0) *otherwise = i;
        return true;
    }
    fail(r, r->pieces[at].line, "there is no {{end}} to this");
    return false;
}

// ---- fields

static bool is_safe(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("._-:/@+,=%~[]", c) != NULL);
}

static void text_of(const json_t *value, char out[512]) {
    out[0] = 0;
    if (json_is_string(value)) snprintf(out, 512, "%s", json_string_value(value));
    if (json_is_integer(value)) snprintf(out, 512, "%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value)) snprintf(out, 512, "%s", json_is_true(value) ? "true" : "false");
    for (char *at = out; *at != 0; at++)
        if (!is_safe((uint8_t)*at)) *at = '_';
}

static void part_of_address(const json_t *instance, bool port, char out[512]) {
    char address[512];
    text_of(json_object_get(instance, "address"), address);
    char *colon = strrchr(address, ':');
    if (colon != NULL) *colon = 0;
    snprintf(out, 512, "%s", !port ? address : colon != NULL ? colon + 1 : "");
}

static bool field(const struct scope *scope, const char *name, char out[512]) {
    static const char *const of_instance[] = {"id", "address", "zone", "weight", "health", "draining", "active"};
    static const char *const of_service[] = {"service", "version", "instances", "ready"};
    for (size_t i = 0; scope->instance && i < sizeof of_instance / sizeof of_instance[0]; i++) {
        if (strcmp(name, of_instance[i]) != 0) continue;
        text_of(json_object_get(scope->instance, name), out);
        return true;
    }
    if (scope->instance && (strcmp(name, "host") == 0 || strcmp(name, "port") == 0)) {
        part_of_address(scope->instance, name[0] == 'p', out);
        return true;
    }
    if (scope->instance && strncmp(name, "meta.", 5) == 0) {
        text_of(json_object_get(json_object_get(scope->instance, "metadata"), name + 5), out);
        return true;
    }
    for (size_t i = 0; scope->service && i < sizeof of_service / sizeof of_service[0]; i++) {
        if (strcmp(name, of_service[i]) != 0) continue;
        text_of(json_object_get(scope->service, name), out);
        return true;
    }
    if (strcmp(name, "index") != 0 || scope->index == 0) return false;
    snprintf(out, 512, "%u", scope->index);
    return true;
}

static bool read_field(struct rendering *r, const struct scope *scope, const struct piece *piece, struct bytes name,
                       char out[512]) {
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)(name.len < 255 ? name.len : 255), (const char *)name.data);
    if (field(scope, text, out)) return true;
    fail(r, piece->line, "{{%.100s}}: there is no such field here", text);
    return false;
}

// ---- walking through

static void walk(struct rendering *r, const struct scope *scope, size_t from, size_t to);

static bool is_listed(const json_t *item, bool services, bool all, const char *prefix) {
    const char *name = json_string_value(json_object_get(item, "service"));
    if (services) return name != NULL && strncmp(name, prefix, strlen(prefix)) == 0;
    const char *health = json_string_value(json_object_get(item, "health"));
    bool ready = health != NULL && strcmp(health, "passing") == 0 && json_is_false(json_object_get(item, "draining"));
    return all || ready;
}

static json_t *items_of(struct rendering *r, const struct scope *scope, const struct piece *piece, bool services,
                        const char *name, bool named) {
    const struct template_source *source = r->source;
    if (services) return source->services(source->context);
    if (!named && scope->service == NULL) {
        fail(r, piece->line, "of which service? Write its name in quotes, or this within {{range services}}");
        return NULL;
    }
    return source->instances(source->context,
                             named ? name : json_string_value(json_object_get(scope->service, "service")));
}

static void walk_range(struct rendering *r, const struct scope *scope, size_t at, size_t otherwise, size_t end) {
    const struct piece *piece = &r->pieces[at];
    char name[256];
    bool named, services = begins(piece->text, "range services", name, &named), all = false;
    if (!services) {
        all = begins(piece->text, "range all", name, &named);
        if (!all && !begins(piece->text, "range instances", name, &named)) {
            fail(r, piece->line, "range is of services, instances or all, then perhaps a name in quotes");
            return;
        }
    }
    json_t *items = items_of(r, scope, piece, services, name, named), *item;
    size_t i;
    struct scope inner = {.service = scope->service};
    json_t *outer = named && !services ? json_pack("{s:s}", "service", name) : NULL;
    if (outer != NULL) inner.service = outer;
    if (items == NULL) r->failed = true; // the source has said why
    json_array_foreach(items, i, item) {
        if (r->failed || !is_listed(item, services, all, name)) continue;
        inner.index++;
        if (services) inner.service = item;
        if (!services) inner.instance = item;
        walk(r, &inner, at + 1, otherwise);
    }
    if (inner.index == 0 && !r->failed) walk(r, scope, otherwise + 1, end);
    json_decref(items);
    json_decref(outer);
}

static void walk_if(struct rendering *r, const struct scope *scope, size_t at, size_t otherwise, size_t end) {
    const struct piece *piece = &r->pieces[at];
    char value[512];
    struct bytes name = trim(bytes_of(piece->text.data + 3, piece->text.len - 3));
    if (!read_field(r, scope, piece, name, value)) return;
    if (value[0] != 0 && strcmp(value, "0") != 0 && strcmp(value, "false") != 0)
        walk(r, scope, at + 1, otherwise);
    else
        walk(r, scope, otherwise + 1, end);
}

static void walk_tag(struct rendering *r, const struct scope *scope, size_t *at) {
    const struct piece *piece = &r->pieces[*at];
    size_t otherwise, end;
    char value[512];
    if (piece->text.len > 0 && piece->text.data[0] == '#') return;
    if (is_word(piece->text, "else") || is_word(piece->text, "end")) {
        fail(r, piece->line, "{{%.*s}} without a range or if", (int)piece->text.len, (const char *)piece->text.data);
        return;
    }
    if (!is_block(piece->text)) {
        if (read_field(r, scope, piece, piece->text, value)) write_span(r->out, bytes_of_text(value));
        return;
    }
    if (!find_end(r, *at, &otherwise, &end)) return;
    if (piece->text.data[0] == 'i')
        walk_if(r, scope, *at, otherwise, end);
    else
        walk_range(r, scope, *at, otherwise, end);
    *at = end;
}

static void walk(struct rendering *r, const struct scope *scope, size_t from, size_t to) {
    if (++r->depth > TEMPLATE_DEPTH_MAX) fail(r, r->pieces[from].line, "more than %u deep", TEMPLATE_DEPTH_MAX);
    for (size_t at = from; at < to && !r->failed; at++) {
        if (r->pieces[at].tag)
            walk_tag(r, scope, &at);
        else
            write_span(r->out, r->pieces[at].text);
    }
    r->depth--;
}

bool template_render(struct bytes text, const struct template_source *source, struct writer *out, char error[256]) {
    struct rendering r = {.source = source, .out = out, .error = error};
    struct scope scope = {0};
    error[0] = 0;
    cut(&r, text);
    if (!r.failed) walk(&r, &scope, 0, r.count);
    mem_free(r.pieces);
    return !r.failed;
}
