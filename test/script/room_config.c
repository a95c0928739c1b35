// Commands over the config model: one entry of the log each. a, b, ... are clients that watch; their ids are those
// letters.
//
//   a watch NAME [LABEL=VALUE]...                   from now on a is told when it shall have something else
//   publish NAME [for L=V,L=V] [percent N] [expect N] [KEY=VALUE|-KEY]...
//   rollback NAME VERSION
//   select NAME VERSION [for L=V,L=V] [percent N]
//   promote|abandon|delete NAME [VERSION]
//   items NAME VERSION,  diff NAME FROM TO,  history NAME
//
// Shown: the command's own answer, "< @INDEX ..."; then what clients are told, "a ! version 2: x=1".
#include <stdlib.h>
#include <string.h>

#include "model/config/config.h"
#include "test/script/script.h"

enum { CLIENTS = 8 };
struct labels {
    char text[128];
    struct bytes at[CONFIG_LABELS_MAX];
    size_t count;
};
struct config_scene {
    void *state;
    uint64_t index;
    struct watcher {
        char name[64], id[2];
        struct labels labels;
        uint64_t revision;
    } clients[CLIENTS];
    FILE *events;
};

static void add_labels(struct labels *labels, const char *words) {
    snprintf(labels->text, sizeof labels->text, "%s", words);
    labels->count = 0;
    char *save = NULL;
    for (char *word = strtok_r(labels->text, ", ", &save); word; word = strtok_r(NULL, ", ", &save))
        labels->at[labels->count++] = bytes_of_text(word);
}

// ---- what is seen

struct sight {
    FILE *out;
    uint64_t version, revision;
};
static void see_space(void *context, const struct config_info *info) {
    struct sight *sight = context;
    sight->version = info->version;
    sight->revision = info->revision;
}
static void print(FILE *out, const char *sign, struct bytes key, const struct bytes *value) {
    fprintf(out, " %s%.*s", sign, (int)key.len, (const char *)key.data);
    if (value) fprintf(out, "=%.*s", (int)value->len, (const char *)value->data);
}
static void see_item(void *context, const struct config_item_info *info) {
    print(((struct sight *)context)->out, "", info->key, &info->value);
}
static void see_difference(void *context, const struct config_difference *d) {
    if (d->from) print(((struct sight *)context)->out, "-", d->key, d->from);
    if (d->to) print(((struct sight *)context)->out, "+", d->key, d->to);
}
static void see_release(void *context, const struct config_release_info *info) {
    static const char *const states[] = {"past", "released", "gradual", "abandoned"};
    fprintf(((struct sight *)context)->out, "%llu @%llu %s, %u put, %u deleted\n", (unsigned long long)info->version,
            (unsigned long long)info->revision, states[info->state], info->puts, info->deletes);
}

// What a client shall have; shown to `out` when it is another revision than it has.
static void look(struct config_scene *s, struct watcher *watcher, FILE *out) {
    struct config_client client = {bytes_of_text(watcher->id), watcher->labels.at, watcher->labels.count};
    struct sight sight = {out, 0, 0};
    struct config_query query = {
        .page.name = bytes_of_text(watcher->name), .client = &client, .space = see_space, .context = &sight};
    struct result result;
    config_model.query(s->state, &query, &result);
    if (sight.revision == watcher->revision) return;
    watcher->revision = sight.revision;
    fprintf(out, "%s ! version %llu:", watcher->id, (unsigned long long)sight.version);
    query.item = see_item;
    config_model.query(s->state, &query, &result);
    fprintf(out, "\n");
}

static void told(void *context, uint8_t model, const void *event) {
    (void)model, (void)event;
    *(bool *)context = true;
}

// ---- commands

static bool play(struct config_scene *s, FILE *out, struct writer *w) {
    bool changed = false;
    struct apply apply = {.index = ++s->index, .apply_level = 2, .emit = told, .emit_context = &changed};
    struct command command;
    struct result result = {0};
    if (command_read(&command, bytes_of(w->data, w->len))) config_model.apply(s->state, &apply, &command, &result);
    writer_free(w);
    const struct config_result *config = result.value;
    fprintf(out, "< @%llu ", (unsigned long long)s->index);
    switch (result.error) {
#define X(error, code, text)                                                                                           \
    case code:                                                                                                         \
        fprintf(out, "%s", #error);                                                                                    \
        break;
        CONFIG_ERRORS(X)
#undef X
    default:
        fprintf(out, config->changed ? "version %llu" : "version %llu, nothing changed",
                (unsigned long long)config->version);
    }
    if (config->gradual != 0) fprintf(out, ", gradual %llu", (unsigned long long)config->gradual);
    fprintf(out, "\n");
    for (size_t i = 0; changed && i < CLIENTS; i++)
        if (s->clients[i].name[0] != 0) look(s, &s->clients[i], s->events);
    return true;
}

static int by_key(const void *a, const void *b) {
    return bytes_compare(((const struct config_change *)a)->key, ((const struct config_change *)b)->key);
}

struct arguments {
    struct labels labels;
    struct config_selector selector;
    bool gradual;
    uint64_t expected;
    struct config_change changes[WORDS_MAX];
    size_t change_count;
};
static void read_arguments(struct arguments *a, char **words, int count) {
    *a = (struct arguments){.selector.percent = 100, .expected = CONFIG_ANY};
    for (int i = 0; i < count; i++) {
        bool more = i + 1 < count;
        if (more && strcmp(words[i], "for") == 0) {
            add_labels(&a->labels, words[++i]);
            a->gradual = true;
        } else if (more && strcmp(words[i], "percent") == 0) {
            a->selector.percent = (uint32_t)atoi(words[++i]);
            a->gradual = true;
        } else if (more && strcmp(words[i], "expect") == 0) {
            a->expected = strtoull(words[++i], NULL, 10);
        } else {
            char *equals = strchr(words[i], '=');
            struct config_change change = {.key = bytes_of_text(words[i] + 1), .deletes = true};
            if (equals)
                change = (struct config_change){.key = bytes_of(words[i], (size_t)(equals - words[i])),
                                                .value = bytes_of_text(equals + 1)};
            a->changes[a->change_count++] = change;
        }
    }
    a->selector.labels = a->labels.at;
    a->selector.label_count = a->labels.count;
    qsort(a->changes, a->change_count, sizeof a->changes[0], by_key);
}

static bool publish(struct config_scene *s, FILE *out, char **words, int count, uint64_t base) {
    struct arguments a;
    struct writer w = {0};
    read_arguments(&a, words + 1, count - 1);
    struct config_publish p = {.name = bytes_of_text(words[0]),
                               .expected = a.expected,
                               .base = base,
                               .gradual = a.gradual ? &a.selector : NULL,
                               .changes = a.changes,
                               .change_count = a.change_count};
    config_write_publish(&w, &p);
    return play(s, out, &w);
}

static bool change(struct config_scene *s, FILE *out, const char *verb, char **words, int count) {
    uint64_t version = count > 1 ? strtoull(words[1], NULL, 10) : 0;
    struct bytes name = bytes_of_text(words[0]);
    struct arguments a;
    struct writer w = {0};
    if (strcmp(verb, "publish") == 0) return publish(s, out, words, count, CONFIG_BASE_RELEASED);
    if (strcmp(verb, "rollback") == 0 && count == 2) return publish(s, out, words, 1, version);
    if (strcmp(verb, "select") == 0 && count > 1) {
        read_arguments(&a, words + 2, count - 2);
        config_write_select(&w, name, version, &a.selector);
    } else if (strcmp(verb, "promote") == 0) {
        config_write_promote(&w, name, version);
    } else if (strcmp(verb, "abandon") == 0) {
        config_write_abandon(&w, name, version);
    } else if (strcmp(verb, "delete") == 0) {
        config_write_delete(&w, name, CONFIG_ANY);
    } else {
        return false;
    }
    return play(s, out, &w);
}

static bool show(struct config_scene *s, FILE *out, const char *verb, char **words, int count) {
    struct sight sight = {out, 0, 0};
    struct config_query query = {.page.name = bytes_of_text(words[0]), .max = 100, .context = &sight};
    struct result result;
    query.version = count > 1 ? strtoull(words[1], NULL, 10) : 0;
    query.other = count > 2 ? strtoull(words[2], NULL, 10) : 0;
    if (strcmp(verb, "items") == 0 && count == 2)
        query.item = see_item;
    else if (strcmp(verb, "diff") == 0 && count == 3)
        query.difference = see_difference;
    else if (strcmp(verb, "history") == 0 && count == 1)
        query.release = see_release;
    else
        return false;
    config_model.query(s->state, &query, &result);
    if (result.error != 0) fprintf(out, "NOT_FOUND");
    if (result.error != 0 || query.release == NULL) fprintf(out, "\n");
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct config_scene *s = room;
    char *words[WORDS_MAX], *text = NULL, labels[128] = "";
    size_t len = 0;
    int count = split_words(line, words);
    if (count > 2 && strcmp(words[1], "watch") == 0 && words[0][0] >= 'a' && words[0][0] < 'a' + CLIENTS) {
        struct watcher *watcher = &s->clients[words[0][0] - 'a'];
        snprintf(watcher->name, sizeof watcher->name, "%s", words[2]);
        snprintf(watcher->id, sizeof watcher->id, "%s", words[0]);
        for (int i = 3; i < count; i++)
            snprintf(labels + strlen(labels), sizeof labels - strlen(labels), "%s ", words[i]);
        add_labels(&watcher->labels, labels);
        look(s, watcher, out);
        return true;
    }
    if (count < 2) return false;
    s->events = open_memstream(&text, &len);
    bool good = change(s, out, words[0], words + 1, count - 1) || show(s, out, words[0], words + 1, count - 1);
    fclose(s->events);
    fputs(text, out); // behind the command's own answer
    free(text);
    return good;
}

static void *scene_open(void) {
    struct config_scene *s = calloc(1, sizeof *s);
    s->state = config_model.create();
    return s;
}

static void scene_close(void *room) {
    struct config_scene *s = room;
    config_model.destroy(s->state);
    free(s);
}

const struct room config_room = {"config", scene_open, scene_command, scene_close};
