#include "sim/world.h"

#include <stdio.h>
#include <string.h>

void world_init(struct world *world, const struct sim_options *options) {
    *world = (struct world){.seed = options->seed, .options = *options, .now_us = 1000000};
    heap_init(&world->heap);
    for (int i = 0; i < PRNG_COUNT; i++) prng_seed(&world->prng[i], options->seed * PRNG_COUNT + (uint64_t)i);
    world->trace = options->seed;
}

void world_free(struct world *world) {
    heap_free(&world->heap);
}

void world_at(struct world *world, struct event *event, uint64_t time_us) {
    ENSURE(event->run != NULL);
    if (time_us < world->now_us) time_us = world->now_us;
    heap_set(&world->heap, &event->item, time_us, world->sequence++);
}

void world_cancel(struct world *world, struct event *event) {
    heap_remove(&world->heap, &event->item);
}

bool world_step(struct world *world) {
    struct heap_item *first = heap_first(&world->heap);
    if (first == NULL) return false;
    ENSURE(first->time >= world->now_us);
    world->now_us = first->time;
    heap_remove(&world->heap, first);
    world->events++;
    struct event *event = CONTAINER_OF(first, struct event, item);
    event->run(event);
    return true;
}

void world_note(struct world *world, enum note what, uint64_t a, uint64_t b) {
    uint64_t h = world->trace;
    h = hash_u64(h ^ world->now_us);
    h = hash_u64(h + (uint64_t)what);
    h = hash_u64(h ^ a);
    world->trace = hash_u64(h + b);
}

static void stamp(const struct world *world, FILE *to) {
    fprintf(to, "%6llu.%06llu ", (unsigned long long)(world->now_us / 1000000),
            (unsigned long long)(world->now_us % 1000000));
}

void world_fail(struct world *world, const char *format, ...) {
    va_list list;
    if (world->failed) return;
    world->failed = true;
    va_start(list, format);
    vsnprintf(world->failure, sizeof world->failure, format, list);
    va_end(list);
    if (world->options.trace) world_trace_line(world, "FAILED %s", world->failure);
}

void world_trace_line(struct world *world, const char *format, ...) {
    if (!world->options.trace && !world->options.log) return;
    va_list list;
    stamp(world, stdout);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
}

uint64_t world_draw(struct world *world, enum world_prng from, uint64_t bound) {
    return bound == 0 ? 0 : prng_below(&world->prng[from], bound);
}

uint64_t world_between(struct world *world, enum world_prng from, uint64_t low, uint64_t high) {
    ENSURE(low <= high);
    return low + prng_below(&world->prng[from], high - low + 1);
}

bool world_chance(struct world *world, enum world_prng from, uint32_t per_million) {
    return per_million > 0 && prng_below(&world->prng[from], 1000000) < per_million;
}
