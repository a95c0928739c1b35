// Commands over the registry model: one entry of the log each. Sessions are numbers of the transcript's own.
//
//   register SERVICE ID [session N | ttl MS | permanent] [weight N] [zone Z] [check]
//   deregister|renew SERVICE ID [old]      under the newest registration of the id, or the one before it
//   drain|undrain SERVICE ID
//   report SERVICE ID passing|failing term N [old]
//   lease SERVICE; release N               N: of the transcript's n-th lease
//   end N                                  a session ends
//   pass MS                                time passes; what is due ends
//   show SERVICE; pick SERVICE KEY         by hash
//
// Shown: the command's own answer; then what watchers of the service are told, "! ...".
#include "model/registry/registry.h"
#include "test/script/script.h"
#include <stdlib.h>
#include <string.h>

enum { IDS = 16, LEASES = 16 };
struct registry_scene {
    void *registry;
    uint64_t index, now_ms, leases[LEASES];
    size_t lease_count;
    struct {
        char name[64];
        uint64_t newest, before;
    } of[IDS];
    FILE *events;
};

static void told(void *context, uint8_t model, const void *event) {
    static const char *const types[] = {"registered", "removed", "changed"};
    struct registry_scene *s = context;
    const struct registry_event *e = event;
    fprintf(s->events, "! %.*s version %llu: %.*s %s\n", (int)e->instance.service.len, e->instance.service.data,
            (unsigned long long)e->version, (int)e->instance.id.len, e->instance.id.data, types[e->type]);
}

static struct apply next_entry(struct registry_scene *s) {
    return (struct apply){
        .index = ++s->index, .log_time_ms = s->now_ms, .apply_level = 2, .emit = told, .emit_context = s};
}

static void *scene_open(void) {
    struct registry_scene *s = calloc(1, sizeof *s);
    s->registry = registry_model.create();
    s->now_ms = 1000;
    return s;
}

static void scene_close(void *room) {
    registry_model.destroy(((struct registry_scene *)room)->registry);
    free(room);
}

static size_t place_of(struct registry_scene *s, const char *service, const char *id) {
    char name[64];
    size_t i = 0;
    snprintf(name, sizeof name, "%.30s/%.30s", service, id);
    while (i < IDS - 1 && s->of[i].name[0] != 0 && strcmp(s->of[i].name, name) != 0) i++;
    snprintf(s->of[i].name, sizeof s->of[i].name, "%s", name);
    return i;
}

static struct registry_result play(struct registry_scene *s, FILE *out, struct writer *w) {
    struct apply apply = next_entry(s);
    struct command command;
    struct result result = {0};
    if (command_read(&command, bytes_of(w->data, w->len))) registry_model.apply(s->registry, &apply, &command, &result);
    writer_free(w);
    const char *word = "ok";
    switch (result.error) {
#define X(error, code, text)                                                                                           \
    case code:                                                                                                         \
        word = #error;                                                                                                 \
        break;
        REGISTRY_ERRORS(X)
#undef X
    default:;
    }
    fprintf(out, "< @%llu %s", (unsigned long long)s->index, word);
    return result.value ? *(const struct registry_result *)result.value : (struct registry_result){0};
}

static bool take_words(struct registry_registration *q, uint64_t *session, char **words, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], "permanent") == 0) {
            q->binding = REGISTRY_PERMANENT;
        } else if (strcmp(words[i], "check") == 0) {
            q->check = (struct registry_check){
                .kind = REGISTRY_CHECK_TCP, .interval_ms = 1000, .timeout_ms = 500, .failures = 3, .successes = 1};
        } else if (i + 1 == count) {
            return false;
        } else if (strcmp(words[i], "session") == 0) {
            *session = strtoull(words[++i], NULL, 10);
        } else if (strcmp(words[i], "ttl") == 0) {
            q->binding = REGISTRY_BY_TTL;
            q->ttl_ms = strtoull(words[++i], NULL, 10);
        } else if (strcmp(words[i], "weight") == 0) {
            q->weight = (uint32_t)strtoul(words[++i], NULL, 10);
        } else if (strcmp(words[i], "zone") == 0) {
            q->zone = bytes_of_text(words[++i]);
        } else {
            return false;
        }
    }
    return true;
}

static bool enter(struct registry_scene *s, FILE *out, char **words, int count) {
    struct registry_registration q = {.service = bytes_of_text(words[1]),
                                      .id = bytes_of_text(words[2]),
                                      .address = bytes_of_text("10.0.0.1:80"),
                                      .weight = 1};
    uint64_t session = 0;
    struct writer w = {0};
    if (!take_words(&q, &session, words + 3, count - 3)) return false;
    registry_write_register(&w, session, session != 0, &q);
    struct registry_result got = play(s, out, &w);
    size_t at = place_of(s, words[1], words[2]);
    if (got.version != 0) s->of[at].before = s->of[at].newest;
    if (got.version != 0) s->of[at].newest = got.registration;
    if (got.replaced != 0) fprintf(out, " in place of %llu", (unsigned long long)got.replaced);
    fprintf(out, "\n");
    return true;
}

static bool of_instance(struct registry_scene *s, FILE *out, char **words, int count) {
    struct bytes service = bytes_of_text(words[1]), id = bytes_of_text(words[2]);
    size_t at = place_of(s, words[1], words[2]);
    bool old = strcmp(words[count - 1], "old") == 0;
    uint64_t number = old ? s->of[at].before : s->of[at].newest;
    struct writer w = {0};
    if (strcmp(words[0], "deregister") == 0) {
        registry_write_deregister(&w, service, id, number);
    } else if (strcmp(words[0], "renew") == 0) {
        registry_write_renew(&w, service, id, number, 0);
    } else if (strcmp(words[0], "drain") == 0 || strcmp(words[0], "undrain") == 0) {
        struct registry_update update = {
            .service = service, .id = id, .what = REGISTRY_SET_DRAIN, .weight = 1, .drain = words[0][0] == 'd'};
        registry_write_update(&w, &update);
    } else if (strcmp(words[0], "report") == 0 && count >= 6) {
        enum registry_health health = words[3][0] == 'p' ? REGISTRY_PASSING : REGISTRY_FAILING;
        registry_write_report(&w, service, id, number, strtoull(words[5], NULL, 10), health, bytes_of_text(""));
    } else {
        return false;
    }
    play(s, out, &w);
    fprintf(out, "\n");
    return true;
}

static void show_one(void *context, const struct registry_info *info) {
    static const char *const healths[] = {"unknown", "passing", "failing"};
    fprintf(context, " %.*s(%s%s", (int)info->id.len, info->id.data, healths[info->health],
            info->draining ? ", drains" : "");
    if (info->active > 0) fprintf(context, ", %u at work", info->active);
    fprintf(context, ")");
}

static void ask(struct registry_scene *s, FILE *out, const char *service, const struct registry_pick *pick) {
    uint64_t version = 0;
    struct registry_query query = {.service = bytes_of_text(service),
                                   .max = 100,
                                   .pick = pick,
                                   .version = &version,
                                   .on_instance = show_one,
                                   .context = out};
    struct result result;
    fprintf(out, "%s:", service);
    registry_model.query(s->registry, &query, &result);
    fprintf(out, result.error ? " none\n" : pick ? "\n" : " version %llu\n", (unsigned long long)version);
}

static bool lease(struct registry_scene *s, FILE *out, char **words) {
    struct writer w = {0};
    if (strcmp(words[0], "release") == 0) {
        size_t n = strtoul(words[1], NULL, 10) - 1;
        if (n >= s->lease_count) return false;
        registry_write_release(&w, s->leases[n]);
        play(s, out, &w);
    } else {
        registry_write_lease(&w, 0, 0, bytes_of_text(words[1]), bytes_of(NULL, 0), 0, 60000);
        struct registry_result got = play(s, out, &w);
        if (got.token != 0 && s->lease_count < LEASES) s->leases[s->lease_count++] = got.token;
        if (got.token != 0)
            fprintf(out, " lease %zu: %.*s", s->lease_count, (int)got.instance.id.len, got.instance.id.data);
    }
    fprintf(out, "\n");
    return true;
}

static bool of_one_word(struct registry_scene *s, FILE *out, char **words, int count) {
    if (strcmp(words[0], "pass") == 0) {
        s->now_ms += strtoull(words[1], NULL, 10);
        struct apply apply = next_entry(s);
        registry_model.expire(s->registry, &apply, 1000);
    } else if (strcmp(words[0], "end") == 0) {
        struct apply apply = next_entry(s);
        registry_model.session_end(s->registry, &apply, strtoull(words[1], NULL, 10));
    } else if (strcmp(words[0], "show") == 0) {
        ask(s, out, words[1], NULL);
    } else if (strcmp(words[0], "pick") == 0 && count == 3) {
        struct registry_pick pick = {.strategy = REGISTRY_HASH, .key = bytes_of_text(words[2])};
        ask(s, out, words[1], &pick);
    } else if (strcmp(words[0], "lease") == 0 || strcmp(words[0], "release") == 0) {
        return lease(s, out, words);
    } else {
        return false;
    }
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct registry_scene *s = room;
    char *words[WORDS_MAX], *text = NULL;
    size_t len = 0;
    int count = split_words(line, words);
    s->events = open_memstream(&text, &len);
    bool good = count >= 3 && strcmp(words[0], "register") == 0   ? enter(s, out, words, count)
                : count >= 2 && of_one_word(s, out, words, count) ? true
                : count >= 3                                      ? of_instance(s, out, words, count)
                                                                  : false;
    fclose(s->events);
    fputs(text, out); // behind the command's own answer
    free(text);
    return good;
}

const struct room naming_room = {"naming", scene_open, scene_command, scene_close};
