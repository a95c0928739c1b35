// A partitioned topic and a consumer group of all clients. What must hold, whatever fails:
//
//   a partition is never read by two at once: a token is told to one member only, and nothing is read or committed
//   under a token once a newer one of the partition was known when it was asked for
//   committed offsets never go back; what is committed was read by somebody; who reads begins at what is committed, and
//   gets message by message
//   what was acknowledged stands at its place, once; what was refused as not done stands nowhere
#include "model/topic/topic.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS 4u
#define TOPIC "\"name\":\"t\",\"group\":\"g\""

enum { ASKED_MAKE = NATIVE_FIRST, ASKED_PUBLISH, ASKED_JOIN, ASKED_POLL, ASKED_COMMIT, ASKED_RELEASE, ASKED_LEAVE };

struct publication {
    bool told, open; // open: it may have been done
};
struct place {          // of a message, as anybody was told
    size_t publication; // from 1 on; 0: not known yet
    bool read;
};
struct grant {
    uint64_t token, member;
};
struct partition {
    struct place *places;
    size_t count, capacity;
    uint64_t token, committed; // the newest that was known
};
struct topic { // of the run
    struct partition partitions[PARTITIONS];
    struct publication *publications;
    size_t publication_count, publication_capacity;
    struct grant *grants;
    size_t grant_count, grant_capacity;
};
struct slot { // as a member knows it
    uint64_t token, next, committed;
    bool revoked;
};
struct consumer { // of one client
    bool made;
    uint64_t member, version;
    struct slot slots[PARTITIONS];
    size_t publication; // that is to be published once more; 0: none
    // Of the request under way:
    uint64_t asked_member, asked_offset, tokens[PARTITIONS], committed[PARTITIONS]; // known when it was asked for
    uint32_t partition;
};

// ---- what stands where

static struct place *place_of(struct partition *partition, uint64_t offset) {
    partition->places = native_grow(partition->places, &partition->capacity, (size_t)offset, sizeof *partition->places);
    if (offset >= partition->count) partition->count = (size_t)offset + 1;
    return &partition->places[offset];
}

static void stands(struct native_line *line, uint32_t p, uint64_t offset, size_t publication, bool read) {
    struct topic *topic = line->shared;
    struct world *world = &line->native->sim->world;
    if (p >= PARTITIONS || publication == 0 || publication > topic->publication_count || offset > 1000000) {
        world_fail(world, "topic: message %zu at partition %u, offset %llu", publication, p,
                   (unsigned long long)offset);
        return;
    }
    struct place *place = place_of(&topic->partitions[p], offset);
    if (place->publication != 0 && place->publication != publication)
        world_fail(world, "topic: messages %zu and %zu both stand at partition %u, offset %llu", place->publication,
                   publication, p, (unsigned long long)offset);
    bool known = place->publication != 0;
    place->publication = publication;
    place->read |= read;
    for (uint32_t q = 0; q < PARTITIONS && !known; q++)
        for (size_t i = 0; i < topic->partitions[q].count; i++)
            if (topic->partitions[q].places[i].publication == publication && (q != p || i != offset))
                world_fail(world, "topic: message %zu was published twice: partition %u, offset %zu, and %u, %llu",
                           publication, q, i, p, (unsigned long long)offset);
}

// ---- who reads

static void granted(struct native_line *line, uint32_t p, uint64_t token, uint64_t member) {
    struct topic *topic = line->shared;
    struct world *world = &line->native->sim->world;
    const struct consumer *consumer = line->state;
    if (token < consumer->tokens[p])
        world_fail(world, "topic: member %llu may read partition %u under token %llu, and %llu was known when it asked",
                   (unsigned long long)member, p, (unsigned long long)token, (unsigned long long)consumer->tokens[p]);
    for (size_t i = 0; i < topic->grant_count; i++) {
        if (topic->grants[i].token != token) continue;
        if (topic->grants[i].member != member)
            world_fail(world, "topic: token %llu is told to two members, %llu and %llu: partition %u is read twice",
                       (unsigned long long)token, (unsigned long long)topic->grants[i].member,
                       (unsigned long long)member, p);
        return;
    }
    topic->grants = native_grow(topic->grants, &topic->grant_capacity, topic->grant_count, sizeof *topic->grants);
    topic->grants[topic->grant_count++] = (struct grant){token, member};
    if (token > topic->partitions[p].token) topic->partitions[p].token = token;
}

static void is_committed(struct native_line *line, uint32_t p, uint64_t offset) {
    struct topic *topic = line->shared;
    const struct consumer *consumer = line->state;
    if (offset < consumer->committed[p])
        world_fail(&line->native->sim->world,
                   "topic: partition %u: %llu is committed, and %llu was known to be committed when it asked", p,
                   (unsigned long long)offset, (unsigned long long)consumer->committed[p]);
    if (offset > topic->partitions[p].committed) topic->partitions[p].committed = offset;
}

static void polled(struct native_line *line, const char *body) {
    struct consumer *consumer = line->state;
    struct slot slots[PARTITIONS] = {0};
    char object[512], text[32];
    const char *at = strstr(body, "\"partitions\":");
    while (at != NULL && native_object(&at, object, sizeof object)) {
        uint32_t p = (uint32_t)native_number_of(object, "partition") % PARTITIONS;
        slots[p] = (struct slot){.token = native_number_of(object, "token"),
                                 .next = native_number_of(object, "committed"),
                                 .committed = native_number_of(object, "committed"),
                                 .revoked = native_says(object, "revoked")};
        granted(line, p, slots[p].token, consumer->asked_member);
        is_committed(line, p, slots[p].committed);
    }
    at = strstr(body, "\"messages\":");
    while (at != NULL && native_object(&at, object, sizeof object)) {
        uint32_t p = (uint32_t)native_number_of(object, "partition") % PARTITIONS;
        uint64_t offset = native_number_of(object, "offset");
        if (slots[p].token == 0 || slots[p].revoked || offset != slots[p].next)
            world_fail(&line->native->sim->world,
                       "topic: member %llu gets offset %llu of partition %u, token %llu%s, where %llu is next",
                       (unsigned long long)consumer->asked_member, (unsigned long long)offset, p,
                       (unsigned long long)slots[p].token, slots[p].revoked ? " (revoked)" : "",
                       (unsigned long long)slots[p].next);
        native_text_of(object, "body", text, sizeof text);
        stands(line, p, offset, strtoull(text, NULL, 10), true);
        slots[p].next = offset + 1;
    }
    if (consumer->member != consumer->asked_member) return; // its session is over meanwhile
    memcpy(consumer->slots, slots, sizeof slots);
    consumer->version = native_number_of(body, "version");
}

// ---- answers

static void published(struct native_line *line, const char *body) {
    struct consumer *consumer = line->state;
    struct topic *topic = line->shared;
    size_t publication = consumer->asked_offset;
    topic->publications[publication - 1].told = true;
    if (consumer->publication == publication) consumer->publication = 0;
    stands(line, (uint32_t)native_number_of(body, "partition"), native_number_of(body, "offset"), publication, false);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct consumer *consumer = line->state;
    if (asked == ASKED_MAKE) consumer->made = true;
    if (asked == ASKED_PUBLISH) published(line, body);
    if (asked == ASKED_JOIN) {
        consumer->member = native_number_of(body, "member_id");
        consumer->version = 0;
        memset(consumer->slots, 0, sizeof consumer->slots);
    }
    if (asked == ASKED_POLL) polled(line, body);
    if (asked == ASKED_COMMIT) {
        granted(line, consumer->partition, consumer->slots[consumer->partition].token, consumer->asked_member);
        is_committed(line, consumer->partition, native_number_of(body, "committed"));
    }
    if (asked == ASKED_LEAVE && consumer->member == consumer->asked_member) consumer->member = 0;
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct consumer *consumer = line->state;
    bool same = consumer->member == consumer->asked_member;
    if (asked == ASKED_COMMIT || asked == ASKED_RELEASE) {
        if (same) consumer->slots[consumer->partition] = (struct slot){0};
        return native_is_error(body, "not-assigned");
    }
    if (asked != ASKED_POLL && asked != ASKED_LEAVE) return false;
    if (same) consumer->member = 0;
    return native_is_error(body, "not-member");
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct consumer *consumer = line->state;
    struct topic *topic = line->shared;
    if (asked != ASKED_PUBLISH) return;
    size_t publication = consumer->asked_offset;
    topic->publications[publication - 1].open |= done;
    if (done) consumer->publication = publication;
}

static void session_over(struct native_line *line) {
    struct consumer *consumer = line->state;
    consumer->member = 0;
}

static void died(struct native_line *line) {
    struct consumer *consumer = line->state;
    *consumer = (struct consumer){.made = consumer->made};
}

// ---- requests

static void publish(struct native_line *line) {
    struct consumer *consumer = line->state;
    struct topic *topic = line->shared;
    size_t publication = consumer->publication;
    if (publication == 0) {
        topic->publications = native_grow(topic->publications, &topic->publication_capacity, topic->publication_count,
                                          sizeof *topic->publications);
        publication = ++topic->publication_count;
    }
    consumer->asked_offset = publication;
    native_request(
        line, ASKED_PUBLISH, 0, "topic/publish",
        "{\"name\":\"t\",\"dedup_id\":\"d%zu\",\"dedup_ms\":864000000,\"messages\":[{\"partition\":%zu,\"body\":"
        "\"%zu\"}]}",
        publication, publication * 7 % PARTITIONS, publication);
    line->unbound = true;
}

static void join(struct native_line *line) {
    static const char *const strategies[] = {"averagely", "by-circle", "consistent-hash"};
    struct native *native = line->native;
    native_request(line, ASKED_JOIN, 0, "topic/join",
                   "{" TOPIC ",\"member\":\"h%u\",\"session\":\"%s\",\"strategy\":\"%s\",\"handover_ms\":%u}",
                   native->number, native->session, strategies[native->sim->world.options.seed % 3],
                   500u + native->ttl_ms / 2);
}

static void poll(struct native_line *line) {
    struct consumer *consumer = line->state;
    unsigned wait_ms = native_draw(line->native, 2) ? 0 : (unsigned)native_draw(line->native, 3000);
    native_request(line, ASKED_POLL, wait_ms * 1000ull, "topic/poll",
                   "{" TOPIC ",\"member_id\":%llu,\"version\":%llu,\"max\":%u,\"wait_ms\":%u}",
                   (unsigned long long)consumer->member, (unsigned long long)consumer->version,
                   1 + (unsigned)native_draw(line->native, 8), wait_ms);
    line->leaves = wait_ms > 0;
    line->unbound = true;
}

static bool of_slot(struct native_line *line, uint32_t p) {
    struct consumer *consumer = line->state;
    const struct slot *slot = &consumer->slots[p];
    bool commits = slot->next > slot->committed, gives_back = slot->revoked && native_draw(line->native, 3) == 0;
    if (slot->token == 0 || (!commits && !gives_back)) return false;
    consumer->partition = p;
    if (commits) {
        native_request(line, ASKED_COMMIT, 0, "topic/commit",
                       "{" TOPIC ",\"partition\":%u,\"token\":%llu,\"offset\":%llu}", p,
                       (unsigned long long)slot->token, (unsigned long long)slot->next);
        consumer->slots[p].committed = slot->next; // asked once
    } else {
        native_request(line, ASKED_RELEASE, 0, "topic/release", "{" TOPIC ",\"partition\":%u,\"token\":%llu}", p,
                       (unsigned long long)slot->token);
        consumer->slots[p].revoked = false;
    }
    line->unbound = true;
    return true;
}

static void leave(struct native_line *line) {
    struct consumer *consumer = line->state;
    native_request(line, ASKED_LEAVE, 0, "topic/leave", "{" TOPIC ",\"member_id\":%llu}",
                   (unsigned long long)consumer->member);
    line->unbound = true;
}

static void step(struct native_line *line) {
    struct consumer *consumer = line->state;
    const struct topic *topic = line->shared;
    struct native *native = line->native;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    consumer->asked_member = consumer->member;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        consumer->tokens[p] = topic->partitions[p].token;
        consumer->committed[p] = topic->partitions[p].committed;
    }
    if (!consumer->made) {
        native_request(line, ASKED_MAKE, 0, "topic/create", "{\"name\":\"t\",\"partitions\":%u}", PARTITIONS);
        line->unbound = true;
    } else if (native_draw(native, 4) == 0) {
        publish(line);
    } else if (consumer->member == 0) {
        join(line);
    } else if (native_draw(native, 100) == 0) {
        leave(line);
    } else {
        bool asks = native_draw(native, 2) && of_slot(line, (uint32_t)native_draw(native, PARTITIONS));
        if (!asks) poll(line);
    }
}

// ---- life

static void *open_topic(struct sim *sim) {
    return mem_zalloc(sizeof(struct topic));
}
static void close_topic(void *shared) {
    struct topic *topic = shared;
    for (uint32_t p = 0; p < PARTITIONS; p++) mem_free(topic->partitions[p].places);
    mem_free(topic->publications);
    mem_free(topic->grants);
    mem_free(topic);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct consumer));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

struct end {
    struct sim *sim;
    const struct topic *topic;
    uint64_t messages;
};

static void check_slot(void *context, const struct topic_slot_info *info) {
    const struct end *end = context;
    const struct partition *partition = &end->topic->partitions[info->partition % PARTITIONS];
    if (info->committed < partition->committed)
        world_fail(&end->sim->world, "topic: partition %u: a client was told that %llu is committed, and %llu is",
                   info->partition, (unsigned long long)partition->committed, (unsigned long long)info->committed);
    for (uint64_t offset = 0; offset < info->committed; offset++)
        if (offset >= partition->count || !partition->places[offset].read)
            world_fail(&end->sim->world, "topic: partition %u: offset %llu was committed, and nobody has read it",
                       info->partition, (unsigned long long)offset);
}

static void check_partition(void *context, const struct topic_partition_info *info) {
    struct end *end = context;
    const struct partition *partition = &end->topic->partitions[info->partition % PARTITIONS];
    end->messages += info->end;
    if (info->end < partition->count)
        world_fail(&end->sim->world, "topic: partition %u has %llu messages, and clients know %zu", info->partition,
                   (unsigned long long)info->end, partition->count);
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared, 0};
    uint64_t told = 0, open = 0;
    for (size_t i = 0; i < end.topic->publication_count; i++) {
        told += end.topic->publications[i].told;
        open += !end.topic->publications[i].told && end.topic->publications[i].open;
    }
    struct topic_query query = {.name = bytes_of_text("t"),
                                .group = bytes_of_text("g"),
                                .slot = check_slot,
                                .partition = check_partition,
                                .context = &end};
    struct result result;
    machine_query(sim->history.machine, MODEL_TOPIC, &query, &result);
    if (end.messages < told || end.messages > told + open)
        world_fail(&sim->world,
                   "topic: it has %llu messages: %llu were acknowledged, and %llu more may have been published",
                   (unsigned long long)end.messages, (unsigned long long)told, (unsigned long long)open);
}

const struct native_workload native_workload_topic = {.name = "topic",
                                                      .open = open_topic,
                                                      .close = close_topic,
                                                      .begin = begin,
                                                      .end = end,
                                                      .step = step,
                                                      .answer = answer,
                                                      .refused = refused,
                                                      .lost = lost,
                                                      .session_over = session_over,
                                                      .died = died,
                                                      .check = check};
