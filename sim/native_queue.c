// Two queues, one with dead letters: keys whose pushes have an id each, and numbered keys that all clients push to.
// Deliveries are claimed for a time or with a session. What must hold, whatever fails:
//
//   of a key, one delivery at a time is out, and in order: under a larger token comes the same message, or a later one
//   when somebody has acknowledged it (or it is a dead letter); tokens grow
//   what was acknowledged never comes again, and no acknowledgement counts under a token that a newer one has followed
//   a delivery lasts its time; each one that was read counts as a try, and there are no more than there may be
//   what was pushed, by its id or its number, is there once; at the end it is there, or was acknowledged, or is dead
#include "model/queue/queue.h"
#include "sim/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASKED_CONFIGURE = NATIVE_FIRST,
    ASKED_PUSH,
    ASKED_CLAIM,
    ASKED_ACK,
    ASKED_NACK,
    ASKED_EXTEND,
};

static const struct {
    const char *queue, *key;
    bool numbered;
} kinds[] = {{"q", "a", false}, {"q", "n", true}, {"q", "m", true}, {"d", "b", false}, {"d", "o", true}};
#define KEYS 5u
#define SLOTS 4u
#define TRIES_MAX 3u
#define GAP_MS 3000u

struct message { // its body is its index
    uint64_t id; // 0: nobody knows it
    uint64_t ack_token;
    uint32_t key, number, tries, seen; // tries: the most that was told; seen: at the end
    bool told, asking, tried;          // tried: somebody asked for it to be pushed
    bool acked, ack_asked;             // ack_asked: it may have been acknowledged
};
struct delivery { // as clients were told: from when on, and until when it surely is out
    uint64_t token, first_us, last_us;
    size_t message;
    uint32_t native;
};
struct key {
    struct delivery *at;
    size_t count, capacity;
    uint64_t newest; // token that anybody was told
    uint32_t numbers;
};
struct queues { // of the run
    struct key keys[KEYS];
    struct message *messages; // from 1 on
    size_t message_count, message_capacity;
};
struct slot {
    bool held, ending;                                // ending: an acknowledgement or its like may have been done
    uint64_t token, visibility_ms, until_us, sure_us; // visibility_ms 0: with the session
    size_t at;
    uint32_t key;
};
struct worker { // of one client
    uint32_t made;
    struct slot slots[SLOTS];
    size_t again; // a message whose push was lost
    // Of the request under way:
    uint32_t slot, queue;
    size_t message;
    bool repeats, fresh; // a push that was answered before it was asked; that nobody had asked for
    uint64_t floors[KEYS], visibility_ms, newer, sure_us;
};

static struct delivery *delivery_of(struct native_line *line, const struct slot *slot) {
    return &((struct queues *)line->shared)->keys[slot->key].at[slot->at];
}
static struct message *message_at(struct native_line *line, size_t message) {
    return &((struct queues *)line->shared)->messages[message];
}
static bool buries(uint32_t key) {
    return strcmp(kinds[key].queue, "d") == 0;
}

// ---- what was delivered

// The older one is over when the newer one is given, and it is the same message or an earlier one that is done.
static void check_pair(struct native_line *line, uint32_t key, const struct delivery *a, const struct delivery *b) {
    struct world *world = &line->native->sim->world;
    const struct delivery *old = a->token < b->token ? a : b, *new = old == a ? b : a;
    const struct message *first = message_at(line, old->message), *second = message_at(line, new->message);
    if (old->last_us >= new->first_us)
        world_fail(world, "queue: key %s is out twice: token %llu of h%u lasts to %llu us, and h%u got %llu at %llu us",
                   kinds[key].key, (unsigned long long)old->token, old->native, (unsigned long long)old->last_us,
                   new->native, (unsigned long long)new->token, (unsigned long long)new->first_us);
    if (old->message == new->message) return;
    bool behind = kinds[key].numbered ? first->number > second->number : first->id > second->id;
    if (behind || (!first->ack_asked && !buries(key)))
        world_fail(world,
                   "queue: key %s: message %zu came under token %llu, ahead of %zu (token %llu), which nobody "
                   "has acknowledged",
                   kinds[key].key, behind ? old->message : new->message,
                   (unsigned long long)(behind ? old->token : new->token), behind ? new->message : old->message,
                   (unsigned long long)(behind ? new->token : old->token));
}

static void is_known(struct native_line *line, size_t message, uint64_t id) {
    struct message *known = message_at(line, message);
    if (id != 0 && known->id != 0 && known->id != id)
        world_fail(&line->native->sim->world, "queue: message %zu was pushed twice: its ids are %llu and %llu", message,
                   (unsigned long long)known->id, (unsigned long long)id);
    if (id != 0) known->id = id;
}

static void hold(struct native_line *line, uint32_t key, size_t at) {
    struct worker *worker = line->state;
    const struct delivery *delivery = &((struct queues *)line->shared)->keys[key].at[at];
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (worker->slots[i].token != 0) continue;
        worker->slots[i] = (struct slot){.held = true,
                                         .token = delivery->token,
                                         .visibility_ms = worker->visibility_ms,
                                         .until_us = native_now_us(line->native) + native_draw(line->native, 1500000),
                                         .sure_us = line->asked_us + worker->visibility_ms * 900,
                                         .at = at,
                                         .key = key};
        return;
    }
}

static void check_try(struct native_line *line, struct message *message, size_t number, uint64_t tries, uint64_t token,
                      uint64_t newest) {
    struct world *world = &line->native->sim->world;
    if (message->acked && token > message->ack_token)
        world_fail(world, "queue: message %zu comes again under token %llu, and it was acknowledged under %llu", number,
                   (unsigned long long)token, (unsigned long long)message->ack_token);
    if ((buries(message->key) && tries > TRIES_MAX) || (token > newest && tries <= message->tries))
        world_fail(world, "queue: message %zu comes for the %llu. time, and it had come %u times", number,
                   (unsigned long long)tries, message->tries);
    if (tries > message->tries) message->tries = (uint32_t)tries;
}

static void delivered(struct native_line *line, const char *object) {
    struct worker *worker = line->state;
    struct queues *all = line->shared;
    char body[32];
    native_text_of(object, "body", body, sizeof body);
    size_t number = strtoull(body, NULL, 10);
    uint64_t token = native_number_of(object, "token");
    struct world *world = &line->native->sim->world;
    if (number == 0 || number > all->message_count ||
        strcmp(kinds[message_at(line, number)->key].queue, kinds[worker->queue].queue) != 0) {
        world_fail(world, "queue: a message that nobody pushed there: %s", object);
        return;
    }
    struct message *message = message_at(line, number);
    struct key *key = &all->keys[message->key];
    is_known(line, number, native_number_of(object, "id"));
    if (token <= worker->floors[message->key])
        world_fail(world, "queue: key %s: token %llu, and %llu was known when it was asked for",
                   kinds[message->key].key, (unsigned long long)token,
                   (unsigned long long)worker->floors[message->key]);
    check_try(line, message, number, native_number_of(object, "tries"), token, key->newest);
    uint64_t sent_us = native_sent_us(line);
    key->at = native_grow(key->at, &key->capacity, key->count, sizeof *key->at);
    struct delivery *delivery = &key->at[key->count];
    *delivery = (struct delivery){.token = token,
                                  .first_us = sent_us,
                                  .last_us = worker->visibility_ms == 0 ? sent_us
                                                                        : line->asked_us + worker->visibility_ms * 900,
                                  .message = number,
                                  .native = line->native->number};
    for (size_t i = 0; i < key->count; i++) check_pair(line, message->key, &key->at[i], delivery);
    if (token > key->newest) key->newest = token;
    hold(line, message->key, key->count++);
}

static void let_go(struct native_line *line, struct slot *slot) { // from now on it does not rely on it
    uint64_t now = native_now_us(line->native);
    if (slot->held && delivery_of(line, slot)->last_us > now) delivery_of(line, slot)->last_us = now;
    slot->held = false;
}

static void lasts(struct native_line *line, const struct slot *slot, uint64_t until_us) {
    struct delivery *delivery = delivery_of(line, slot);
    const struct key *key = &((struct queues *)line->shared)->keys[slot->key];
    if (until_us <= delivery->last_us) return;
    delivery->last_us = until_us;
    for (size_t i = 0; i < key->count; i++)
        if (key->at[i].token > delivery->token) check_pair(line, slot->key, delivery, &key->at[i]);
}

static void heard(struct native_line *line, uint64_t sent_us) {
    struct worker *worker = line->state;
    for (uint32_t i = 0; i < SLOTS; i++)
        if (worker->slots[i].held && worker->slots[i].visibility_ms == 0) lasts(line, &worker->slots[i], sent_us);
}

static void session_over(struct native_line *line) {
    struct worker *worker = line->state;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (worker->slots[i].token == 0 || worker->slots[i].visibility_ms != 0) continue;
        let_go(line, &worker->slots[i]);
        worker->slots[i] = (struct slot){0};
    }
}

static void died(struct native_line *line) {
    struct worker *worker = line->state;
    *worker = (struct worker){.made = worker->made, .again = worker->again};
}

// ---- answers

static void acked(struct native_line *line, const struct slot *slot) {
    const struct key *key = &((struct queues *)line->shared)->keys[slot->key];
    const struct worker *worker = line->state;
    size_t number = delivery_of(line, slot)->message;
    struct message *message = message_at(line, number);
    if (worker->newer != 0)
        world_fail(&line->native->sim->world,
                   "queue: key %s: what h%u said under token %llu counted, and %llu was known when it came",
                   kinds[slot->key].key, line->native->number, (unsigned long long)slot->token,
                   (unsigned long long)worker->newer);
    message->acked = true;
    message->ack_token = slot->token;
    for (size_t i = 0; i < key->count; i++)
        if (key->at[i].message == number && key->at[i].token > slot->token)
            world_fail(&line->native->sim->world,
                       "queue: message %zu came again under token %llu, and it was acknowledged under %llu", number,
                       (unsigned long long)key->at[i].token, (unsigned long long)slot->token);
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct worker *worker = line->state;
    struct slot *slot = &worker->slots[worker->slot];
    if (!line->unbound) heard(line, native_sent_us(line));
    if (asked == ASKED_CONFIGURE) worker->made++;
    if (asked == ASKED_PUSH) {
        if (worker->repeats && !native_says(body, "duplicate"))
            world_fail(&line->native->sim->world, "queue: message %zu was pushed twice: it was told, and now: %s",
                       worker->message, body);
        if (worker->fresh && native_says(body, "duplicate"))
            world_fail(&line->native->sim->world, "queue: message %zu was never pushed, and is not taken: %s",
                       worker->message, body);
        message_at(line, worker->message)->told = true;
        message_at(line, worker->message)->asking = false;
        is_known(line, worker->message, native_number_of(body, "id"));
        if (worker->again == worker->message) worker->again = 0;
    }
    if (asked == ASKED_CLAIM) {
        char object[512];
        const char *at = strstr(body, "\"messages\":");
        while (at != NULL && native_object(&at, object, sizeof object)) delivered(line, object);
    }
    if (asked == ASKED_ACK) acked(line, slot);
    if (asked == ASKED_ACK || asked == ASKED_NACK) *slot = (struct slot){0};
    if (asked == ASKED_EXTEND && slot->held) {
        slot->sure_us = line->asked_us + slot->visibility_ms * 900;
        lasts(line, slot, slot->sure_us);
    }
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct worker *worker = line->state;
    if (asked != ASKED_PUSH) return;
    message_at(line, worker->message)->asking = false;
    if (!kinds[message_at(line, worker->message)->key].numbered) worker->again = worker->message;
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct worker *worker = line->state;
    struct slot *slot = &worker->slots[worker->slot];
    if (asked == ASKED_PUSH) {
        message_at(line, worker->message)->asking = false;
        return native_is_error(body, "gap");
    }
    if (asked != ASKED_ACK && asked != ASKED_NACK && asked != ASKED_EXTEND) return false;
    if (native_sent_us(line) < worker->sure_us)
        world_fail(&line->native->sim->world,
                   "queue: what h%u claimed of key %s (token %llu) is over at %llu us, and its time lasts to %llu us",
                   line->native->number, kinds[slot->key].key, (unsigned long long)slot->token,
                   (unsigned long long)native_sent_us(line), (unsigned long long)worker->sure_us);
    let_go(line, slot);
    *slot = (struct slot){0};
    return native_is_error(body, "not-claimed");
}

// ---- requests

// One that was pushed, by whomever and whenever, and perhaps acknowledged long ago: a producer that was restored from
// an older state pushes it again. 0: none.
static size_t draw_old(struct native_line *line) {
    const struct queues *all = line->shared;
    if (!native_is_newer(line->native->sim) || all->message_count == 0 || native_draw(line->native, 5) != 0) return 0;
    size_t newest = native_draw(line->native, 2) && all->message_count > 10 ? 10 : all->message_count;
    size_t message = all->message_count - (size_t)native_draw(line->native, newest);
    return all->messages[message].told ? message : 0;
}

static size_t new_message(struct queues *all, uint32_t key) {
    size_t message = ++all->message_count;
    all->messages = native_grow(all->messages, &all->message_capacity, message, sizeof *all->messages);
    all->messages[message].key = key;
    if (kinds[key].numbered) all->messages[message].number = ++all->keys[key].numbers;
    return message;
}

// Of a numbered key the first number that nobody is about to push, or the one behind it; else a new message.
static size_t message_to_push(struct native_line *line) {
    struct worker *worker = line->state;
    struct queues *all = line->shared;
    uint32_t key = (uint32_t)native_draw(line->native, KEYS);
    if (worker->again != 0) return worker->again;
    size_t old = draw_old(line);
    if (old != 0) return old;
    if (!kinds[key].numbered) return new_message(all, key);
    bool ahead = native_is_newer(line->native->sim) &&
                 native_draw(line->native, 4) == 0; // the one before it is left to another client
    for (size_t i = 1; i <= all->message_count; i++) {
        if (all->messages[i].key != key || all->messages[i].told || all->messages[i].asking) continue;
        if (!ahead) return i;
        ahead = false;
    }
    if (ahead) new_message(all, key);
    return new_message(all, key);
}

static void push(struct native_line *line) {
    struct worker *worker = line->state;
    size_t number = worker->message = message_to_push(line);
    struct message *message = message_at(line, number);
    char how[64];
    message->asking = true;
    worker->repeats = message->told;
    worker->fresh = !message->tried;
    message->tried = true;
    if (kinds[message->key].numbered)
        snprintf(how, sizeof how, "\"number\":%u", message->number);
    else
        snprintf(how, sizeof how, "\"dedup_id\":\"%zu\",\"dedup_ms\":864000000", number);
    native_request(line, ASKED_PUSH, GAP_MS * 1200ull, "queue/push",
                   "{\"name\":\"%s\",\"key\":\"%s\",\"body\":\"%zu\",\"delay_ms\":%u,%s}", kinds[message->key].queue,
                   kinds[message->key].key, number,
                   native_draw(line->native, 4) == 0 ? (unsigned)native_draw(line->native, 500) : 0, how);
    line->leaves = line->unbound = true;
}

static void claim(struct native_line *line) {
    struct worker *worker = line->state;
    struct native *native = line->native;
    char session[96] = "";
    unsigned wait_ms = native_draw(native, 2) ? 0 : (unsigned)native_draw(native, 2000), room = 0;
    for (uint32_t i = 0; i < SLOTS; i++) room += worker->slots[i].token == 0;
    if (room == 0) return;
    worker->queue = (uint32_t)native_draw(native, KEYS);
    worker->visibility_ms = native_draw(native, 2) ? 0 : 500 + native_draw(native, 2500);
    for (uint32_t i = 0; i < KEYS; i++) worker->floors[i] = ((struct queues *)line->shared)->keys[i].newest;
    if (worker->visibility_ms == 0) snprintf(session, sizeof session, ",\"session\":\"%s\"", native->session);
    native_request(line, ASKED_CLAIM, wait_ms * 1000ull, "queue/claim",
                   "{\"name\":\"%s\",\"max\":%u,\"visibility_ms\":%llu,\"wait_ms\":%u%s}", kinds[worker->queue].queue,
                   1 + (unsigned)native_draw(native, room), (unsigned long long)worker->visibility_ms, wait_ms,
                   session);
    line->leaves = true;
    line->unbound = worker->visibility_ms != 0;
}

static void end_claim(struct native_line *line, struct slot *slot) {
    char session[96] = "";
    unsigned long long token = slot->token;
    const char *queue = kinds[slot->key].queue;
    let_go(line, slot);
    slot->ending = true;
    if (slot->visibility_ms == 0) snprintf(session, sizeof session, ",\"session\":\"%s\"", line->native->session);
    if (native_draw(line->native, 4) == 0) {
        native_request(line, ASKED_NACK, 0, "queue/nack", "{\"name\":\"%s\",\"token\":%llu,\"delay_ms\":%u%s}", queue,
                       token, (unsigned)native_draw(line->native, 300), session);
    } else {
        message_at(line, delivery_of(line, slot)->message)->ack_asked = true;
        native_request(line, ASKED_ACK, 0, "queue/ack", "{\"name\":\"%s\",\"tokens\":[%llu]%s}", queue, token, session);
    }
    line->unbound = slot->visibility_ms != 0;
}

static bool care(struct native_line *line) {
    struct worker *worker = line->state;
    const struct queues *all = line->shared;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &worker->slots[i];
        bool over = slot->token != 0 && (slot->ending || native_now_us(line->native) >= slot->until_us);
        bool extends = slot->held && !over && slot->visibility_ms != 0 && native_draw(line->native, 6) == 0;
        if (!over && !extends) continue;
        worker->slot = i;
        worker->newer = all->keys[slot->key].newest > slot->token ? all->keys[slot->key].newest : 0;
        worker->sure_us = slot->ending || slot->visibility_ms == 0 ? 0 : slot->sure_us;
        if (over) {
            end_claim(line, slot);
        } else {
            native_request(line, ASKED_EXTEND, 0, "queue/extend",
                           "{\"name\":\"%s\",\"token\":%llu,\"visibility_ms\":%llu}", kinds[slot->key].queue,
                           (unsigned long long)slot->token, (unsigned long long)slot->visibility_ms);
            line->unbound = true;
        }
        return true;
    }
    return false;
}

static void step(struct native_line *line) {
    struct worker *worker = line->state;
    struct native *native = line->native;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    if (worker->made < 2) {
        native_request(line, ASKED_CONFIGURE, 0, "queue/configure", "{\"name\":\"%s\",\"tries_max\":%u,\"gap_ms\":%u}",
                       worker->made == 0 ? "d" : "q", worker->made == 0 ? TRIES_MAX : 0, GAP_MS);
        line->unbound = true;
    } else if (!care(line)) {
        if (native_draw(native, 5) < 2)
            push(line);
        else
            claim(line);
    }
}

// ---- life

static void *open_queues(struct sim *sim) {
    return mem_zalloc(sizeof(struct queues));
}
static void close_queues(void *shared) {
    struct queues *all = shared;
    for (uint32_t i = 0; i < KEYS; i++) mem_free(all->keys[i].at);
    mem_free(all->messages);
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct worker));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

struct end {
    struct sim *sim;
    struct queues *all;
};

static void see(const struct end *end, const struct queue_message_info *info, bool dead) {
    size_t number = 0;
    for (size_t i = 0; i < info->body.len; i++) number = number * 10 + (size_t)(info->body.data[i] - '0');
    if (number == 0 || number > end->all->message_count) {
        world_fail(&end->sim->world, "queue: message %zu is there at the end, and nobody pushed it", number);
        return;
    }
    struct message *message = &end->all->messages[number];
    if (message->acked || message->seen++ > 0)
        world_fail(&end->sim->world, "queue: message %zu is there at the end, and it %s", number,
                   message->acked ? "was acknowledged" : "is there twice");
    if (dead && info->tries != TRIES_MAX)
        world_fail(&end->sim->world, "queue: message %zu is dead after %u tries", number, info->tries);
}
static void see_message(void *context, const struct queue_message_info *info) {
    see(context, info, false);
}
static void see_dead(void *context, const struct queue_message_info *info) {
    see(context, info, true);
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared};
    struct result result;
    for (uint32_t key = 0; key < KEYS; key++) {
        struct queue_query query = {.name = bytes_of_text(kinds[key].queue),
                                    .of_key = bytes_of_text(kinds[key].key),
                                    .max = SIZE_MAX,
                                    .message = see_message,
                                    .context = &end};
        machine_query(sim->history.machine, MODEL_QUEUE, &query, &result);
    }
    struct queue_query dead = {.name = bytes_of_text("d"), .max = SIZE_MAX, .dead = see_dead, .context = &end};
    machine_query(sim->history.machine, MODEL_QUEUE, &dead, &result);
    for (size_t i = 1; i <= end.all->message_count; i++) {
        const struct message *message = &end.all->messages[i];
        if (message->told && !message->ack_asked && message->seen == 0)
            world_fail(&sim->world, "queue: message %zu was pushed, and it is gone, though nobody acknowledged it", i);
    }
}

const struct native_workload native_workload_queue = {.name = "queue",
                                                      .open = open_queues,
                                                      .close = close_queues,
                                                      .begin = begin,
                                                      .end = end,
                                                      .step = step,
                                                      .answer = answer,
                                                      .refused = refused,
                                                      .lost = lost,
                                                      .heard = heard,
                                                      .session_over = session_over,
                                                      .died = died,
                                                      .check = check};
