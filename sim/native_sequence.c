// Numbers that are given once. What must hold, whatever fails:
//
//   no number is given twice, singly or in blocks, and none lies below one that was known when it was asked for
//   a sequence moves on by what was given: never by what was refused as not done, at most once by what is unknown
//   a gapless one gives a key its numbers again, to whoever asks, and no number is lost between two keys
//   the group's ids likewise grow and never repeat; ranges of time of a worker's number never overlap
#include "model/sequence/sequence.h"
#include "sim/native.h"
#include <stdio.h>
#include <string.h>

enum { ASKED_MAKE = NATIVE_FIRST, ASKED_NEXT, ASKED_KEYED, ASKED_IDS, ASKED_LEASE, ASKED_RENEW, ASKED_GIVE_BACK };

static const struct {
    const char *name;
    uint64_t start, step, ceiling;
    uint32_t block_max;
    bool gapless;
} kinds[] = {{"s0", 1, 1, SEQUENCE_CEILING_MAX, 1000, false},
             {"s1", 10, 7, SEQUENCE_CEILING_MAX, 20, false},
             {"s2", 5, 3, 500, 9, false},
             {"g0", 1, 1, SEQUENCE_CEILING_MAX, 1000, true},
             {"g1", 100, 5, SEQUENCE_CEILING_MAX, 8, true}};
#define SEQUENCES 5u
#define GAPLESS 3u  // the first of them
#define IDS 5u      // behind the sequences: the group's ids
#define IDS_MAX 40u // in one request
#define LEASES 3u   // of one client

struct given {
    uint64_t first, last;
};
struct given_list {
    struct given *at;
    size_t count, capacity;
    uint64_t newest, told, unknown; // how many numbers: told; asked for, and perhaps given
};
struct key {
    uint64_t first, last; // last 0: nobody was told
    uint32_t count, sequence, asking;
    bool unknown; // some request for it was lost
};
struct range { // of a worker's number
    uint64_t token, from_ms, until_ms;
    uint32_t worker;
};
struct numbers { // of the run
    struct given_list lists[SEQUENCES + 1];
    struct key *keys;
    size_t key_count, key_capacity;
    struct range *ranges;
    size_t range_count, range_capacity;
};
struct counter {   // of one client
    uint32_t made; // one bit a sequence
    uint32_t sequence, count;
    uint64_t floor;
    size_t key, lease;
    bool was_told, other; // KEYED: its numbers were known; it is asked with another count
    struct {
        uint64_t token;
        uint32_t worker;
        bool session;
    } leases[LEASES];
};

// ---- answers

static void give(struct native_line *line, uint64_t first, uint64_t last) {
    struct counter *counter = line->state;
    struct given_list *list = &((struct numbers *)line->shared)->lists[counter->sequence];
    struct world *world = &line->native->sim->world;
    const char *name = counter->sequence == IDS ? "ids" : kinds[counter->sequence].name;
    if (first <= counter->floor && counter->floor != 0)
        world_fail(world, "sequence %s: h%u got number %llu, and %llu was known when it asked", name,
                   line->native->number, (unsigned long long)first, (unsigned long long)counter->floor);
    for (size_t i = 0; i < list->count; i++)
        if (first <= list->at[i].last && list->at[i].first <= last)
            world_fail(world,
                       "sequence %s: a number is given twice: h%u got %llu..%llu, and %llu..%llu was given before",
                       name, line->native->number, (unsigned long long)first, (unsigned long long)last,
                       (unsigned long long)list->at[i].first, (unsigned long long)list->at[i].last);
    list->at = native_grow(list->at, &list->capacity, list->count, sizeof *list->at);
    list->at[list->count++] = (struct given){first, last};
    if (last > list->newest) list->newest = last;
    list->told += counter->count;
}

static void check_block(struct native_line *line, uint64_t first, uint64_t last) {
    struct counter *counter = line->state;
    uint64_t start = kinds[counter->sequence].start, step = kinds[counter->sequence].step;
    if (first < start || (first - start) % step != 0 || last != first + (counter->count - 1) * step ||
        last > kinds[counter->sequence].ceiling)
        world_fail(&line->native->sim->world, "sequence %s: h%u asked for %u numbers, and got %llu..%llu",
                   kinds[counter->sequence].name, line->native->number, counter->count, (unsigned long long)first,
                   (unsigned long long)last);
}

static void keyed(struct native_line *line, const char *body) {
    struct counter *counter = line->state;
    struct key *key = &((struct numbers *)line->shared)->keys[counter->key];
    struct world *world = &line->native->sim->world;
    uint64_t first = native_number_of(body, "first"), last = native_number_of(body, "last");
    const char *name = kinds[counter->sequence].name;
    if (counter->other)
        world_fail(world, "sequence %s: key k%zu is for %u numbers, and h%u got %u under it", name, counter->key,
                   key->count, line->native->number, counter->count);
    if (key->last != 0 && (key->first != first || key->last != last))
        world_fail(world, "sequence %s: key k%zu has the numbers %llu..%llu, and h%u got %llu..%llu under it", name,
                   counter->key, (unsigned long long)key->first, (unsigned long long)key->last, line->native->number,
                   (unsigned long long)first, (unsigned long long)last);
    if (counter->was_told && !native_says(body, "repeated"))
        world_fail(world, "sequence %s: key k%zu was told its numbers, and is said to be new", name, counter->key);
    if (key->last != 0) return;
    // Its first request may have taken effect long ago.
    if (key->unknown) counter->floor = 0;
    key->first = first;
    key->last = last;
    check_block(line, first, last);
    give(line, first, last);
}

static void ids(struct native_line *line, const char *body) {
    struct counter *counter = line->state;
    uint64_t at[IDS_MAX];
    size_t count = native_numbers(body, "ids", at, IDS_MAX);
    bool good = count == counter->count;
    for (size_t i = 0; i < count; i++) good &= (at[i] >> 12 & 1023) == 0 && (i == 0 || at[i] > at[i - 1]);
    if (!good)
        world_fail(&line->native->sim->world, "ids: h%u asked for %u, and got %s", line->native->number, counter->count,
                   body);
    if (count > 0) give(line, at[0], at[count - 1]);
}

static void leased(struct native_line *line, const char *body) {
    struct counter *counter = line->state;
    struct numbers *all = line->shared;
    struct range range = {.token = native_number_of(body, "token"),
                          .from_ms = native_number_of(body, "from_unix_ms"),
                          .until_ms = native_number_of(body, "until_unix_ms"),
                          .worker = (uint32_t)native_number_of(body, "worker")};
    counter->leases[counter->lease].token = range.token;
    counter->leases[counter->lease].worker = range.worker;
    size_t known = all->range_count;
    for (size_t i = 0; i < all->range_count; i++) {
        struct range *other = &all->ranges[i];
        const struct range *first = other->token < range.token ? other : &range;
        const struct range *second = first == other ? &range : other;
        if (other->worker != range.worker) continue;
        if (other->token == range.token)
            known = i;
        else if (first->until_ms > second->from_ms)
            world_fail(&line->native->sim->world,
                       "worker %u: its ids would repeat: times from %llu to %llu and from %llu to %llu were given",
                       range.worker, (unsigned long long)first->from_ms, (unsigned long long)first->until_ms,
                       (unsigned long long)second->from_ms, (unsigned long long)second->until_ms);
    }
    if (range.worker == 0 || range.worker >= SEQUENCE_WORKERS || range.until_ms <= range.from_ms)
        world_fail(&line->native->sim->world, "worker %u was leased as %s", range.worker, body);
    if (known == all->range_count) {
        all->ranges = native_grow(all->ranges, &all->range_capacity, all->range_count, sizeof *all->ranges);
        all->ranges[all->range_count++] = range;
    } else if (all->ranges[known].until_ms < range.until_ms) {
        all->ranges[known].until_ms = range.until_ms;
    }
}

static void settle(struct native_line *line, unsigned asked) {
    struct counter *counter = line->state;
    if (asked == ASKED_KEYED) ((struct numbers *)line->shared)->keys[counter->key].asking--;
}

static void answer(struct native_line *line, unsigned asked, const char *body) {
    struct counter *counter = line->state;
    settle(line, asked);
    if (asked == ASKED_MAKE) counter->made |= 1u << counter->sequence;
    if (asked == ASKED_NEXT) {
        check_block(line, native_number_of(body, "first"), native_number_of(body, "last"));
        give(line, native_number_of(body, "first"), native_number_of(body, "last"));
    }
    if (asked == ASKED_KEYED) keyed(line, body);
    if (asked == ASKED_IDS) ids(line, body);
    if (asked == ASKED_LEASE || asked == ASKED_RENEW) leased(line, body);
    if (asked == ASKED_GIVE_BACK) counter->leases[counter->lease].token = 0;
}

static bool refused(struct native_line *line, unsigned asked, const char *body) {
    struct counter *counter = line->state;
    settle(line, asked);
    bool not_held = native_is_error(body, "not-held");
    if (not_held) counter->leases[counter->lease].token = 0;
    switch (asked) {
    case ASKED_NEXT:
        return native_is_error(body, "exhausted") && kinds[counter->sequence].ceiling < SEQUENCE_CEILING_MAX;
    case ASKED_KEYED:
        return native_is_error(body, "mismatch") && counter->other;
    case ASKED_IDS:
    case ASKED_LEASE:
        return native_is_error(body, "later") || native_is_error(body, "clock");
    case ASKED_RENEW:
        return not_held || native_is_error(body, "clock");
    default:
        return not_held && asked == ASKED_GIVE_BACK;
    }
}

static void lost(struct native_line *line, unsigned asked, bool done) {
    struct counter *counter = line->state;
    struct numbers *all = line->shared;
    settle(line, asked);
    if (asked == ASKED_GIVE_BACK || asked == ASKED_LEASE) counter->leases[counter->lease].token = 0;
    if (!done) return;
    if (asked == ASKED_KEYED) all->keys[counter->key].unknown = true;
    if (asked == ASKED_NEXT) all->lists[counter->sequence].unknown += counter->count;
}

static void session_over(struct native_line *line) {
    struct counter *counter = line->state;
    for (size_t i = 0; i < LEASES; i++)
        if (counter->leases[i].session) counter->leases[i].token = 0;
}

static void died(struct native_line *line) {
    struct counter *counter = line->state;
    *counter = (struct counter){.made = counter->made};
}

// ---- requests

static void make(struct native_line *line, uint32_t sequence) {
    native_request(line, ASKED_MAKE, 0, "sequence/create",
                   "{\"name\":\"%s\",\"start\":%llu,\"step\":%llu,\"ceiling\":%llu,\"block_max\":%u,\"gapless\":%s}",
                   kinds[sequence].name, (unsigned long long)kinds[sequence].start,
                   (unsigned long long)kinds[sequence].step, (unsigned long long)kinds[sequence].ceiling,
                   kinds[sequence].block_max, kinds[sequence].gapless ? "true" : "false");
    line->unbound = true;
}

static uint32_t draw_count(struct native_line *line, uint32_t sequence) {
    if (native_draw(line->native, 2) == 0) return 1;
    return 1 + (uint32_t)native_draw(line->native, kinds[sequence].block_max);
}

static void next(struct native_line *line, uint32_t sequence) {
    struct counter *counter = line->state;
    counter->count = draw_count(line, sequence);
    native_request(line, ASKED_NEXT, 0, "sequence/next", "{\"name\":\"%s\",\"count\":%u}", kinds[sequence].name,
                   counter->count);
    line->unbound = true;
}

// A key of the newest ones, of whomever: one that was lost, was told, or is being asked for at this moment.
static size_t draw_key(struct native_line *line) {
    struct counter *counter = line->state;
    struct numbers *all = line->shared;
    size_t newest = all->key_count < 12 ? all->key_count : 12;
    for (size_t i = 0; i < newest; i++) {
        size_t at = all->key_count - 1 - i;
        bool open = all->keys[at].unknown && all->keys[at].last == 0;
        if (all->keys[at].sequence == counter->sequence && native_draw(line->native, open ? 2 : 12) == 0) return at;
    }
    all->keys = native_grow(all->keys, &all->key_capacity, all->key_count, sizeof *all->keys);
    all->keys[all->key_count] =
        (struct key){.count = draw_count(line, counter->sequence), .sequence = counter->sequence};
    return all->key_count++;
}

static void next_keyed(struct native_line *line, uint32_t sequence) {
    struct counter *counter = line->state;
    counter->key = draw_key(line);
    struct key *key = &((struct numbers *)line->shared)->keys[counter->key];
    counter->was_told = key->last != 0;
    counter->other = counter->was_told && native_draw(line->native, 4) == 0;
    counter->count = counter->other ? key->count + 1 : key->count;
    if (key->asking > 0) counter->floor = 0; // another may have got them before, and not know it yet
    key->asking++;
    native_request(line, ASKED_KEYED, 0, "sequence/next", "{\"name\":\"%s\",\"count\":%u,\"key\":\"k%zu\"}",
                   kinds[sequence].name, counter->count, counter->key);
    line->unbound = true;
}

static void ask_ids(struct native_line *line) {
    struct counter *counter = line->state;
    counter->count = 1 + (uint32_t)native_draw(line->native, IDS_MAX);
    native_request(line, ASKED_IDS, 0, "sequence/ids", "{\"count\":%u}", counter->count);
    line->unbound = true;
}

static void worker(struct native_line *line) {
    struct counter *counter = line->state;
    struct native *native = line->native;
    char session[96] = "";
    counter->lease = native_draw(native, LEASES);
    uint64_t token = counter->leases[counter->lease].token;
    unsigned window_ms = 100 + (unsigned)native_draw(native, 5000);
    if (token == 0) counter->leases[counter->lease].session = native_draw(native, 2) == 0;
    bool bound = counter->leases[counter->lease].session;
    if (bound) snprintf(session, sizeof session, ",\"session\":\"%s\"", native->session);
    if (token == 0) {
        native_request(line, ASKED_LEASE, 0, "sequence/worker_lease", "{\"window_ms\":%u%s}", window_ms, session);
    } else if (native_draw(native, 3) > 0) {
        native_request(line, ASKED_RENEW, 0, "sequence/worker_renew",
                       "{\"worker\":%u,\"token\":%llu,\"window_ms\":%u%s}", counter->leases[counter->lease].worker,
                       (unsigned long long)token, window_ms, session);
    } else {
        native_request(line, ASKED_GIVE_BACK, 0, "sequence/worker_release", "{\"worker\":%u,\"token\":%llu%s}",
                       counter->leases[counter->lease].worker, (unsigned long long)token, session);
    }
    line->unbound = !bound;
}

static void step(struct native_line *line) {
    struct counter *counter = line->state;
    struct native *native = line->native;
    native->next_us = native_now_us(native) + native_draw(native, 300000);
    uint32_t sequence = (uint32_t)native_draw(native, IDS + 2);
    counter->sequence = sequence <= IDS ? sequence : 0;
    counter->floor = ((struct numbers *)line->shared)->lists[counter->sequence].newest;
    if (sequence == IDS)
        ask_ids(line);
    else if (sequence > IDS)
        worker(line);
    else if ((counter->made & 1u << sequence) == 0)
        make(line, sequence);
    else if (sequence >= GAPLESS)
        next_keyed(line, sequence);
    else
        next(line, sequence);
}

// ---- life

static void *open_numbers(struct sim *sim) {
    return mem_zalloc(sizeof(struct numbers));
}
static void close_numbers(void *shared) {
    struct numbers *all = shared;
    for (size_t i = 0; i <= SEQUENCES; i++) mem_free(all->lists[i].at);
    mem_free(all->keys);
    mem_free(all->ranges);
    mem_free(all);
}
static void begin(struct native_line *line) {
    line->state = mem_zalloc(sizeof(struct counter));
}
static void end(struct native_line *line) {
    mem_free(line->state);
}

struct end {
    struct sim *sim;
    const struct numbers *all;
};

// How far each has moved, against what was told and what may have been given.
static void check_sequence(void *context, const struct sequence_info *info) {
    const struct end *end = context;
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        if (!bytes_equal(info->name, bytes_of_text(kinds[i].name))) continue;
        uint64_t given = (info->next - kinds[i].start) / kinds[i].step, told = end->all->lists[i].told;
        uint64_t most = told + end->all->lists[i].unknown;
        for (size_t k = 0; k < end->all->key_count; k++) {
            const struct key *key = &end->all->keys[k];
            if (key->sequence == i && key->last == 0 && key->unknown) most += key->count;
        }
        if (given < told || given > most)
            world_fail(&end->sim->world,
                       "sequence %s has given %llu numbers: clients were told %llu, and %llu more may have been given",
                       kinds[i].name, (unsigned long long)given, (unsigned long long)told,
                       (unsigned long long)(most - told));
    }
}

static void check(struct sim *sim, void *shared) {
    struct end end = {sim, shared};
    struct sequence_query query = {.page = {.max = 100}, .sequence = check_sequence, .context = &end};
    struct result result;
    machine_query(sim->history.machine, MODEL_SEQUENCE, &query, &result);
}

const struct native_workload native_workload_sequence = {.name = "sequence",
                                                         .open = open_numbers,
                                                         .close = close_numbers,
                                                         .begin = begin,
                                                         .end = end,
                                                         .step = step,
                                                         .answer = answer,
                                                         .refused = refused,
                                                         .lost = lost,
                                                         .session_over = session_over,
                                                         .died = died,
                                                         .check = check};
