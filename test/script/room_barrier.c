// Commands over the barrier model; each is one entry of the log. 1, 2, ... are sessions, and each is one member.
//
//   1 enter NAME SIZE [MS]    waits so long;  1 leave NAME [MS]: the newest round that 1 was told of;  1 end: its
//   session set NAME COUNT            a latch;  down NAME [BY [REQUEST]];  delete NAME pass MS                   time
//   passes; what is due ends show NAME
//
// Shown: the command's own answer, "1 < ..."; then what others are told, "2 ! ...".
#include <stdlib.h>
#include <string.h>

#include "model/barrier/barrier.h"
#include "test/script/script.h"

enum { SESSIONS = 10 };
struct barrier_scene {
    void *barriers;
    uint64_t index, now_ms, round[SESSIONS], ticket[SESSIONS];
    FILE *events;
};

static void told(void *context, uint8_t model, const void *event) {
    struct barrier_scene *s = context;
    const struct barrier_event *barrier = event;
    size_t who = 0;
    if (barrier->type == BARRIER_EVENT_LATCH) {
        fprintf(s->events, "! the latch is %s\n", barrier->gone ? "gone" : "at zero");
        return;
    }
    while (who < SESSIONS - 1 && s->ticket[who] != barrier->ticket) who++;
    fprintf(s->events, "%zu ! ", who);
    if (barrier->type == BARRIER_EVENT_ENTERED) {
        s->round[who] = barrier->round;
        fprintf(s->events, "entered, round %llu\n", (unsigned long long)barrier->round);
    } else if (barrier->type == BARRIER_EVENT_LEFT) {
        fprintf(s->events, "%s\n", barrier->over ? "all have left" : "waits no longer for the others");
    } else {
        fprintf(s->events, "%s\n",
                barrier->type == BARRIER_EVENT_TIMED_OUT    ? "timed out"
                : barrier->type == BARRIER_EVENT_SUPERSEDED ? "superseded"
                                                            : "cancelled");
    }
}

static struct apply next_entry(struct barrier_scene *s) {
    return (struct apply){
        .index = ++s->index, .log_time_ms = s->now_ms, .apply_level = 2, .emit = told, .emit_context = s};
}

static void *scene_open(void) {
    struct barrier_scene *s = calloc(1, sizeof *s);
    s->barriers = barrier_model.create();
    s->now_ms = 1000;
    return s;
}

static void scene_close(void *room) {
    struct barrier_scene *s = room;
    barrier_model.destroy(s->barriers);
    free(s);
}

static const char *error_name(int error) {
    switch (error) {
#define X(name, code, text)                                                                                            \
    case code:                                                                                                         \
        return #name;
        BARRIER_ERRORS(X)
#undef X
    default:
        return "BAD_COMMAND";
    }
}

static void play(struct barrier_scene *s, FILE *out, size_t who, struct writer *w) {
    struct apply apply = next_entry(s);
    struct command command;
    struct result result = {0};
    if (command_read(&command, bytes_of(w->data, w->len))) barrier_model.apply(s->barriers, &apply, &command, &result);
    writer_free(w);
    const struct barrier_result *barrier = result.value;
    if (who > 0) fprintf(out, "%zu ", who);
    if (result.error != 0) {
        fprintf(out, "< %s\n", error_name(result.error));
        return;
    }
    if (barrier->waits) s->ticket[who] = barrier->ticket;
    if (barrier->round != 0) s->round[who] = barrier->round;
    if (barrier->waits)
        fprintf(out, "< waits\n");
    else if (command.op == BARRIER_ENTER)
        fprintf(out, "< entered, round %llu\n", (unsigned long long)barrier->round);
    else if (command.op == BARRIER_LEAVE)
        fprintf(out, "< left%s\n", barrier->over ? ", all have" : "");
    else if (command.op == BARRIER_LATCH_DELETE)
        fprintf(out, "< ok\n");
    else
        fprintf(out, "< count %llu\n", (unsigned long long)barrier->count);
}

static void show_place(void *context, const struct barrier_place_info *info) {
    static const char *const states[] = {"waits", "inside", "leaves"};
    fprintf(context, " %llu(%s)", (unsigned long long)info->session, states[info->state]);
}
static void show_barrier(void *context, const struct barrier_info *info) {}

static void show(struct barrier_scene *s, FILE *out, const char *name) {
    struct barrier_query query = {
        .page = {.name = bytes_of_text(name), .max = 1}, .barrier = show_barrier, .place = show_place, .context = out};
    struct result result;
    fprintf(out, "%s:", name);
    barrier_model.query(s->barriers, &query, &result);
    fprintf(out, "\n");
}

static bool of_member(struct barrier_scene *s, FILE *out, size_t who, char **words, int count) {
    struct bytes name = bytes_of_text(count > 2 ? words[2] : ""), member = bytes_of_text("");
    struct writer w = {0};
    if (strcmp(words[1], "end") == 0) {
        struct apply apply = next_entry(s);
        barrier_model.session_end(s->barriers, &apply, who);
        return true;
    }
    if (strcmp(words[1], "enter") == 0 && count >= 4)
        barrier_write_enter(&w, who, 1, name, member, (uint32_t)strtoull(words[3], NULL, 10),
                            count > 4 ? strtoull(words[4], NULL, 10) : 0);
    else if (strcmp(words[1], "leave") == 0 && count >= 3)
        barrier_write_leave(&w, who, 1, name, member, s->round[who], count > 3 ? strtoull(words[3], NULL, 10) : 0);
    else
        return false;
    play(s, out, who, &w);
    return true;
}

static bool of_nobody(struct barrier_scene *s, FILE *out, char **words, int count) {
    struct writer w = {0};
    if (count < 2) return false;
    struct bytes name = bytes_of_text(words[1]);
    uint64_t number = count > 2 ? strtoull(words[2], NULL, 10) : 1;
    if (strcmp(words[0], "pass") == 0) {
        s->now_ms += strtoull(words[1], NULL, 10);
        struct apply apply = next_entry(s);
        barrier_model.expire(s->barriers, &apply, 1000);
        return true;
    }
    if (strcmp(words[0], "show") == 0) {
        show(s, out, words[1]);
        return true;
    }
    if (strcmp(words[0], "set") == 0 && count == 3)
        barrier_write_latch_set(&w, name, number, 0);
    else if (strcmp(words[0], "down") == 0)
        barrier_write_latch_down(&w, name, number, bytes_of_text(count > 3 ? words[3] : ""), count > 3 ? 10000 : 0);
    else if (strcmp(words[0], "delete") == 0)
        barrier_write_latch_delete(&w, name);
    else
        return false;
    play(s, out, 0, &w);
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct barrier_scene *s = room;
    char *words[WORDS_MAX], *text = NULL;
    size_t len = 0;
    int count = split_words(line, words);
    s->events = open_memstream(&text, &len);
    size_t who = count > 1 ? strtoull(words[0], NULL, 10) : 0;
    bool good = who > 0 && who < SESSIONS ? of_member(s, out, who, words, count) : of_nobody(s, out, words, count);
    fclose(s->events);
    fputs(text, out); // behind the command's own answer
    free(text);
    return good;
}

const struct room barrier_room = {"barrier", scene_open, scene_command, scene_close};
