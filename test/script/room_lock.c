// Commands over the lock model, on the real session model: one entry of the log each. a, b, ... are sessions, and each
// is one owner.
//
//   a session                        a new one;  a end: it expires, with all that it holds
//   a acquire NAME [WORD VALUE]...   wait MS|ever, ttl MS, delay MS, permits N, total M; shared (without a value)
//   a all NAME NAME...               all or none
//   a campaign NAME VALUE [wait MS]  an election;  a proclaim NAME VALUE;  a resign NAME
//   a release|renew|cancel NAME      under the newest token or ticket that a was told of; `release NAME all`
//   break NAME REASON                by its first holder's token
//   pass MS                          time passes; what is due ends
//   show NAME
//
// Shown: the command's own answer, "a < @INDEX ..."; then what others are told, "b ! ...", and what observers of an
// election see, "NAME: ...".
#include <stdlib.h>
#include <string.h>

#include "model/lease/lease.h"
#include "model/lock/lock.h"
#include "test/script/script.h"

enum { OWNERS = 8, NAMES = 8 };
struct lock_scene {
    struct lease_table *leases;
    void *locks;
    uint64_t index, now_ms;
    uint64_t session[OWNERS], attach[OWNERS];
    struct {
        char name[32];
        uint64_t token[OWNERS], ticket[OWNERS];
    } of[NAMES];
    FILE *events;
};

static size_t name_of(struct lock_scene *s, struct bytes name) {
    size_t i = 0;
    while (i < NAMES - 1 && s->of[i].name[0] != 0 && !bytes_equal(bytes_of_text(s->of[i].name), name)) i++;
    snprintf(s->of[i].name, sizeof s->of[i].name, "%.*s", (int)name.len, (const char *)name.data);
    return i;
}

static void told(void *context, uint8_t model, const void *event) {
    static const char *const losses[] = {"", "expired", "session", "broken"};
    struct lock_scene *s = context;
    const struct lock_event *lock = event;
    if (model != MODEL_LOCK) return;
    if (lock->type == LOCK_EVENT_LEADER) {
        fprintf(s->events, "%.*s: ", (int)lock->name.len, (const char *)lock->name.data);
        if (lock->version == 0)
            fprintf(s->events, "nobody leads\n");
        else
            fprintf(s->events, "%.*s leads, token %llu, version %llu, value %.*s\n", (int)lock->owner.len,
                    (const char *)lock->owner.data, (unsigned long long)lock->token, (unsigned long long)lock->version,
                    (int)lock->value.len, (const char *)lock->value.data);
        return;
    }
    int who = lock->owner.data[0] - 'a';
    fprintf(s->events, "%c ! ", 'a' + who);
    if (lock->type == LOCK_EVENT_GRANTED) {
        s->of[name_of(s, lock->name)].token[who] = lock->token;
        fprintf(s->events, "granted %.*s, token %llu\n", (int)lock->name.len, (const char *)lock->name.data,
                (unsigned long long)lock->token);
    } else if (lock->type == LOCK_EVENT_TIMED_OUT) {
        fprintf(s->events, "timed out %.*s\n", (int)lock->name.len, (const char *)lock->name.data);
    } else if (lock->type == LOCK_EVENT_SUPERSEDED) {
        fprintf(s->events, "older request for %.*s ends\n", (int)lock->name.len, (const char *)lock->name.data);
    } else if (lock->type == LOCK_EVENT_CANCELLED) {
        fprintf(s->events, "waits no longer for %.*s\n", (int)lock->name.len, (const char *)lock->name.data);
    } else {
        fprintf(s->events, "lost %.*s: %s%s%.*s\n", (int)lock->name.len, (const char *)lock->name.data,
                losses[lock->loss], lock->reason.len > 0 ? ": " : "", (int)lock->reason.len,
                (const char *)lock->reason.data);
    }
}

static struct apply next_entry(struct lock_scene *s) {
    return (struct apply){.index = ++s->index,
                          .log_time_ms = s->now_ms,
                          .apply_level = 2,
                          .leases = s->leases,
                          .emit = told,
                          .emit_context = s};
}

static void ended(void *context, struct apply *apply, uint64_t session) {
    lock_model.session_end(((struct lock_scene *)context)->locks, apply, session);
}

static struct result play(struct lock_scene *s, const struct model_ops *model, void *state, struct writer *w) {
    struct apply apply = next_entry(s);
    struct command command;
    struct result result = {0};
    if (command_read(&command, bytes_of(w->data, w->len))) model->apply(state, &apply, &command, &result);
    result.op = command.op;
    writer_free(w);
    return result;
}

static void *scene_open(void) {
    struct lock_scene *s = calloc(1, sizeof *s);
    s->leases = lease_model.create();
    s->locks = lock_model.create();
    s->now_ms = 1000;
    lease_on_end(s->leases, ended, s);
    return s;
}

static void scene_close(void *room) {
    struct lock_scene *s = room;
    lock_model.destroy(s->locks);
    lease_model.destroy(s->leases);
    free(s);
}

static void show_answer(struct lock_scene *s, FILE *out, int who, const char *name, const struct result *result) {
    const struct lock_result *lock = result->value;
    fprintf(out, "%c < @%llu ", 'a' + who, (unsigned long long)s->index);
    switch (result->error) {
#define X(error, code, text)                                                                                           \
    case code:                                                                                                         \
        fprintf(out, "%s", #error);                                                                                    \
        break;
        LOCK_ERRORS(X)
#undef X
    default:
        if (name != NULL) {
            size_t at = name_of(s, bytes_of_text(name));
            if (lock->token != 0) s->of[at].token[who] = lock->token;
            if (lock->ticket != 0) s->of[at].ticket[who] = lock->ticket;
        }
        fprintf(out, "ok");
    }
    if (lock->granted && lock->token != 0) fprintf(out, " token %llu", (unsigned long long)lock->token);
    for (size_t i = 0; i < lock->token_count; i++)
        fprintf(out, "%s%llu", i == 0 ? " tokens " : " ", (unsigned long long)lock->tokens[i]);
    if (lock->holds > 0) fprintf(out, " holds %u", lock->holds);
    if (result->op == LOCK_ACQUIRE && result->error == 0 && !lock->granted) fprintf(out, " waits");
    if (lock->refused.len > 0) fprintf(out, " %.*s", (int)lock->refused.len, (const char *)lock->refused.data);
    if (lock->holder.len > 0) fprintf(out, " held by %.*s", (int)lock->holder.len, (const char *)lock->holder.data);
    if (lock->circle.len > 0) fprintf(out, ": %.*s", (int)lock->circle.len, (const char *)lock->circle.data);
    fprintf(out, "\n");
}

static uint64_t number(const char *text) {
    return strcmp(text, "ever") == 0 ? LOCK_WAIT_FOREVER : strtoull(text, NULL, 10);
}

static bool take_words(struct lock_request *request, char **words, int count) {
    for (int i = 0; i < count; i++) {
        bool last = i + 1 == count;
        if (strcmp(words[i], "shared") == 0)
            request->mode = LOCK_SHARED;
        else if (last)
            return false;
        else if (strcmp(words[i], "wait") == 0)
            request->wait_ms = number(words[++i]);
        else if (strcmp(words[i], "ttl") == 0)
            request->ttl_ms = number(words[++i]);
        else if (strcmp(words[i], "delay") == 0)
            request->delay_ms = number(words[++i]);
        else if (strcmp(words[i], "permits") == 0) {
            request->mode = LOCK_PERMITS;
            request->permits = (uint32_t)number(words[++i]);
        } else if (strcmp(words[i], "total") == 0)
            request->total = (uint32_t)number(words[++i]);
        else
            return false;
    }
    return true;
}

static void start_session(struct lock_scene *s, FILE *out, int who) {
    static const uint8_t password[LEASE_PASSWORD_BYTES];
    struct writer w = {0};
    lease_write_attach(&w, 0, password, 4000, LEASE_KIND_NATIVE, 1, 1);
    struct result result = play(s, &lease_model, s->leases, &w);
    const struct lease_result *lease = result.value;
    s->session[who] = lease->session;
    s->attach[who] = lease->attach;
    fprintf(out, "%c < @%llu session %llu\n", 'a' + who, (unsigned long long)s->index,
            (unsigned long long)lease->session);
}

static bool write_election(struct lock_scene *s, struct writer *w, int who, const char *verb, char **words, int count) {
    uint64_t session = s->session[who], attach = s->attach[who];
    char text[2] = {(char)('a' + who), 0};
    struct bytes owner = bytes_of_text(text), name = bytes_of_text(words[0]);
    uint64_t token = s->of[name_of(s, name)].token[who];
    if (strcmp(verb, "campaign") == 0 && count >= 2) {
        struct lock_request request = {
            .name = name, .owner = owner, .mode = LOCK_ELECTION, .permits = 1, .value = bytes_of_text(words[1])};
        if (!take_words(&request, words + 2, count - 2)) return false;
        lock_write_acquire(w, session, attach, &request);
    } else if (strcmp(verb, "proclaim") == 0 && count == 2) {
        lock_write_proclaim(w, session, attach, name, owner, token, bytes_of_text(words[1]));
    } else if (strcmp(verb, "resign") == 0) {
        lock_write_release(w, session, attach, name, owner, token, true);
    } else {
        return false;
    }
    return true;
}

static bool write_command(struct lock_scene *s, struct writer *w, int who, const char *verb, char **words, int count) {
    uint64_t session = s->session[who], attach = s->attach[who];
    char text[2] = {(char)('a' + who), 0};
    struct bytes owner = bytes_of_text(text), name = bytes_of_text(words[0]);
    size_t at = name_of(s, name);
    if (write_election(s, w, who, verb, words, count)) return true;
    if (strcmp(verb, "acquire") == 0) {
        struct lock_request request = {.name = name, .owner = owner, .permits = 1};
        if (!take_words(&request, words + 1, count - 1)) return false;
        lock_write_acquire(w, session, attach, &request);
    } else if (strcmp(verb, "all") == 0) {
        struct bytes names[WORDS_MAX];
        enum lock_mode modes[WORDS_MAX] = {0};
        for (int i = 0; i < count; i++) names[i] = bytes_of_text(words[i]);
        lock_write_acquire_all(w, session, attach, owner, 0, 0, names, modes, (size_t)count);
    } else if (strcmp(verb, "release") == 0) {
        lock_write_release(w, session, attach, name, owner, s->of[at].token[who], count > 1);
    } else if (strcmp(verb, "renew") == 0 && count == 2) {
        lock_write_renew(w, session, attach, name, owner, s->of[at].token[who], number(words[1]));
    } else if (strcmp(verb, "cancel") == 0) {
        lock_write_cancel(w, session, attach, name, owner, s->of[at].ticket[who], false);
    } else {
        return false;
    }
    return true;
}

static void show_claim(void *context, const struct lock_claim_info *claim) {
    fprintf(context, " %.*s%s", (int)claim->owner.len, (const char *)claim->owner.data,
            claim->token != 0 ? "(holds)" : "");
}

static void show(struct lock_scene *s, FILE *out, const char *name) {
    struct lock_query query = {.name = bytes_of_text(name), .claim = show_claim, .context = out};
    struct result result;
    fprintf(out, "%s:", name);
    lock_model.query(s->locks, &query, &result);
    fprintf(out, "\n");
}

static void first_token(void *context, const struct lock_claim_info *claim) {
    if (*(uint64_t *)context == 0) *(uint64_t *)context = claim->token;
}

static void break_lock(struct lock_scene *s, FILE *out, const char *name, const char *reason) {
    uint64_t token = 0;
    struct lock_query query = {.name = bytes_of_text(name), .claim = first_token, .context = &token};
    struct result result;
    struct writer w = {0};
    lock_model.query(s->locks, &query, &result);
    lock_write_break(&w, bytes_of_text(name), token, bytes_of_text(reason));
    result = play(s, &lock_model, s->locks, &w);
    fprintf(out, "%s @%llu\n", result.error == 0 ? "broken" : "not held", (unsigned long long)s->index);
}

static bool of_nobody(struct lock_scene *s, FILE *out, char **words, int count) {
    if (strcmp(words[0], "pass") == 0 && count == 2) {
        s->now_ms += number(words[1]);
        struct apply apply = next_entry(s);
        lock_model.expire(s->locks, &apply, 1000);
    } else if (strcmp(words[0], "show") == 0 && count == 2) {
        show(s, out, words[1]);
    } else if (strcmp(words[0], "break") == 0 && count == 3) {
        break_lock(s, out, words[1], words[2]);
    } else {
        return false;
    }
    return true;
}

static bool of_owner(struct lock_scene *s, FILE *out, int who, char **words, int count) {
    struct writer w = {0};
    if (strcmp(words[1], "session") == 0) {
        start_session(s, out, who);
    } else if (strcmp(words[1], "end") == 0) {
        lease_write_expire(&w, s->session[who], s->attach[who]);
        play(s, &lease_model, s->leases, &w);
    } else {
        if (count < 3 || !write_command(s, &w, who, words[1], words + 2, count - 2)) return false;
        struct result result = play(s, &lock_model, s->locks, &w);
        show_answer(s, out, who,
                    strcmp(words[1], "acquire") == 0 || strcmp(words[1], "campaign") == 0 ? words[2] : NULL, &result);
    }
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct lock_scene *s = room;
    char *words[WORDS_MAX], *text = NULL;
    size_t len = 0;
    int count = split_words(line, words);
    s->events = open_memstream(&text, &len);
    int who = count > 1 && words[0][1] == 0 ? words[0][0] - 'a' : -1;
    bool good = who >= 0 && who < OWNERS ? of_owner(s, out, who, words, count)
                : count > 0              ? of_nobody(s, out, words, count)
                                         : false;
    fclose(s->events);
    fputs(text, out); // behind the command's own answer
    free(text);
    return good;
}

const struct room lock_room = {"lock", scene_open, scene_command, scene_close};
