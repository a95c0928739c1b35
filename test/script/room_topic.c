// Commands over the topic model: one entry of the log each, of one topic and one group. a, b, ... are consumers, each
// with a session of its own.
//
//   topic N [ROOM]...                N partitions, in these machine rooms;  publish P BODY...
//   a join [WORD VALUE]...           strategy NAME, room NAME, handover MS
//   a leave;  a end                  ends its membership;  its session ends (it died, or was paused for too long)
//   a read P                         under the token that a was told of last: a consumer that sleeps knows no newer one
//   a commit P OFFSET;  a release P  under the same
//   pass MS;  show                   time passes, what is due ends;  who reads what: partition, token, committed/end
//
// Shown: the command's own answer; then, "a ! ..." how the assignment of a changed.
#include <stdlib.h>
#include <string.h>

#include "model/topic/topic.h"
#include "test/script/script.h"

enum { CONSUMERS = 8, PARTITIONS = 32, SESSIONS = 100 };
struct topic_scene {
    void *state;
    uint64_t index, now_ms;
    uint64_t member[CONSUMERS];
    uint64_t token[CONSUMERS][PARTITIONS];
    bool changed[CONSUMERS];
    FILE *out;
    int reader;
};

static const struct bytes topic_name = {(const uint8_t *)"t", 1}, group_name = {(const uint8_t *)"g", 1};

static void *scene_open(void) {
    struct topic_scene *s = calloc(1, sizeof *s);
    s->state = topic_model.create();
    s->now_ms = 1000;
    return s;
}

static void scene_close(void *room) {
    struct topic_scene *s = room;
    topic_model.destroy(s->state);
    free(s);
}

static void told(void *context, uint8_t model, const void *value) {
    struct topic_scene *s = context;
    const struct topic_event *event = value;
    for (int i = 0; i < CONSUMERS && model == MODEL_TOPIC && event->type == TOPIC_EVENT_CHANGED; i++)
        s->changed[i] |= s->member[i] != 0 && s->member[i] == event->member;
}

static struct apply next_entry(struct topic_scene *s) {
    return (struct apply){
        .index = ++s->index, .log_time_ms = s->now_ms, .apply_level = 2, .emit = told, .emit_context = s};
}

static const char *error_name(int error) {
    switch (error) {
#define X(name, code, text)                                                                                            \
    case code:                                                                                                         \
        return #name;
        TOPIC_ERRORS(X)
#undef X
    default:
        return "ok";
    }
}

// ---- what is shown

static void take_slot(void *context, const struct topic_slot_info *info) {
    struct topic_scene *s = context;
    s->token[s->reader][info->partition] = info->token;
    fprintf(s->out, " %u%s", info->partition, info->revoked ? " (wanted back)" : "");
}

// Who hears of a change asks what he may read.
static void tell_changes(struct topic_scene *s) {
    for (s->reader = 0; s->reader < CONSUMERS; s->reader++) {
        if (!s->changed[s->reader]) continue;
        struct topic_fetch fetch = {.member = s->member[s->reader]};
        struct topic_query query = {
            .name = topic_name, .group = group_name, .slot = take_slot, .context = s, .fetch = &fetch};
        struct result result;
        s->changed[s->reader] = false;
        fprintf(s->out, "%c ! reads", 'a' + s->reader);
        topic_model.query(s->state, &query, &result);
        fprintf(s->out, "%s\n", fetch.error ? " nothing: no member any more" : "");
    }
}

static void show_slot(void *context, const struct topic_slot_info *info) {
    struct topic_scene *s = context;
    fprintf(s->out, "%u: ", info->partition);
    if (info->token != 0)
        fprintf(s->out, "%.*s, token %llu, ", (int)info->owner_name.len, (const char *)info->owner_name.data,
                (unsigned long long)info->token);
    else
        fprintf(s->out, "nobody, ");
    fprintf(s->out, "%llu/%llu%s\n", (unsigned long long)info->committed, (unsigned long long)info->end,
            info->revoked ? ", wanted back" : "");
}

static void show(struct topic_scene *s) {
    struct topic_query query = {.name = topic_name, .group = group_name, .slot = show_slot, .context = s};
    struct result result;
    topic_model.query(s->state, &query, &result);
}

static void read_message(void *context, const struct topic_message *message) {
    fprintf(((struct topic_scene *)context)->out, " %llu=%.*s", (unsigned long long)message->offset,
            (int)message->body.len, (const char *)message->body.data);
}

static void read_partition(struct topic_scene *s, int who, uint32_t partition) {
    struct topic_fetch fetch = {
        .token = s->token[who][partition], .partition = partition, .max = 100, .max_bytes = 1 << 20};
    struct topic_query query = {
        .name = topic_name, .group = group_name, .message = read_message, .context = s, .fetch = &fetch};
    struct result result;
    fprintf(s->out, "%c <", 'a' + who);
    if (fetch.token != 0) topic_model.query(s->state, &query, &result);
    fprintf(s->out, " %s\n", fetch.token == 0 ? "knows no token" : error_name(fetch.error));
}

// ---- commands

static void play(struct topic_scene *s, struct writer *w, const char *who) {
    struct apply apply = next_entry(s);
    struct command command;
    struct result result = {0};
    if (command_read(&command, bytes_of(w->data, w->len))) topic_model.apply(s->state, &apply, &command, &result);
    const struct topic_result *topic = result.value;
    writer_free(w);
    fprintf(s->out, "%s< @%llu %s", who, (unsigned long long)s->index, error_name(result.error));
    if (command.op == TOPIC_JOIN && result.error == 0) s->member[who[0] - 'a'] = topic->member;
    if (command.op == TOPIC_JOIN && result.error == 0) s->changed[who[0] - 'a'] = true;
    if (command.op == TOPIC_COMMIT && result.error == 0)
        fprintf(s->out, " committed %llu%s", (unsigned long long)topic->committed,
                topic->revoked ? ", wanted back" : "");
    for (uint32_t i = 0; i < topic->place_count; i++)
        fprintf(s->out, " %u:%llu", topic->places[i].partition, (unsigned long long)topic->places[i].offset);
    fprintf(s->out, "\n");
    tell_changes(s);
}

static bool write_topic(struct writer *w, char **words, int count) {
    struct bytes rooms[WORDS_MAX];
    struct topic_options options = {.name = topic_name, .partitions = (uint32_t)strtoul(words[0], NULL, 10)};
    for (int i = 1; i < count; i++) rooms[i - 1] = bytes_of_text(words[i]);
    if (count > 1) options.rooms = rooms;
    topic_write_create(w, &options);
    return options.partitions <= PARTITIONS && (count == 1 || options.partitions == (uint32_t)count - 1);
}

static bool write_publish(struct writer *w, char **words, int count) {
    struct topic_entry entries[WORDS_MAX] = {0};
    struct topic_publish publish = {.name = topic_name, .entries = entries, .count = (uint32_t)count - 1};
    for (int i = 1; i < count; i++)
        entries[i - 1] =
            (struct topic_entry){.partition = (uint32_t)strtoul(words[0], NULL, 10), .body = bytes_of_text(words[i])};
    topic_write_publish(w, 0, 0, &publish);
    return count > 1;
}

static bool write_join(struct writer *w, int who, char **words, int count) {
    static const char *const names[] = {"any",       "averagely",      "by-circle", "consistent-hash",
                                        "by-config", "by-machine-room"};
    char name[2] = {(char)('a' + who), 0};
    struct topic_join join = {.topic = topic_name, .group = group_name, .member = bytes_of_text(name)};
    for (int i = 0; i + 1 < count; i += 2) {
        if (strcmp(words[i], "room") == 0) join.room = bytes_of_text(words[i + 1]);
        if (strcmp(words[i], "handover") == 0) join.handover_ms = strtoull(words[i + 1], NULL, 10);
        for (int n = 0; n < TOPIC_STRATEGY_END && strcmp(words[i], "strategy") == 0; n++)
            if (strcmp(words[i + 1], names[n]) == 0) join.strategy = (enum topic_strategy)n;
    }
    topic_write_join(w, SESSIONS + (uint64_t)who, 1, &join);
    return count % 2 == 0;
}

static bool of_consumer(struct topic_scene *s, int who, char **words, int count) {
    char name[3] = {(char)('a' + who), ' ', 0};
    uint32_t partition = count > 1 ? (uint32_t)strtoul(words[1], NULL, 10) : 0;
    uint64_t token = s->token[who][partition % PARTITIONS];
    struct writer w = {0};
    if (strcmp(words[0], "end") == 0) {
        struct apply apply = next_entry(s);
        topic_model.session_end(s->state, &apply, SESSIONS + (uint64_t)who);
        s->changed[who] = false; // it hears of nothing
        tell_changes(s);
        return true;
    }
    if (strcmp(words[0], "read") == 0) {
        read_partition(s, who, partition % PARTITIONS);
        return true;
    }
    if (strcmp(words[0], "join") == 0) {
        if (!write_join(&w, who, words + 1, count - 1)) return false;
    } else if (strcmp(words[0], "leave") == 0) {
        topic_write_leave(&w, 0, 0, topic_name, group_name, s->member[who]);
    } else if (strcmp(words[0], "commit") == 0 && count == 3) {
        topic_write_commit(&w, 0, 0, topic_name, group_name, partition, token, strtoull(words[2], NULL, 10));
    } else if (strcmp(words[0], "release") == 0) {
        topic_write_release(&w, 0, 0, topic_name, group_name, partition, token);
    } else {
        return false;
    }
    play(s, &w, name);
    return true;
}

static bool scene_command(void *room, char *line, FILE *out) {
    struct topic_scene *s = room;
    char *words[WORDS_MAX];
    int count = split_words(line, words);
    struct writer w = {0};
    s->out = out;
    if (count == 0) return false;
    if (strcmp(words[0], "show") == 0) {
        show(s);
        return true;
    }
    if (strcmp(words[0], "pass") == 0 && count == 2) {
        s->now_ms += strtoull(words[1], NULL, 10);
        struct apply apply = next_entry(s);
        topic_model.expire(s->state, &apply, 1000);
        tell_changes(s);
        return true;
    }
    if (words[0][1] == 0 && words[0][0] >= 'a' && words[0][0] < 'a' + CONSUMERS && count > 1)
        return of_consumer(s, words[0][0] - 'a', words + 1, count - 1);
    bool topic = strcmp(words[0], "topic") == 0;
    bool good = count > 1 && (topic ? write_topic(&w, words + 1, count - 1) : write_publish(&w, words + 1, count - 1));
    if (good && (topic || strcmp(words[0], "publish") == 0)) {
        play(s, &w, "");
        return true;
    }
    writer_free(&w);
    return false;
}

const struct room topic_room = {"topic", scene_open, scene_command, scene_close};
