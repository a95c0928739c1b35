// What the log is, as the records tell it in their order, and where its batches stand. No files here.
//
//   position ->   [b1 b2][b3][b4 b5] T3 [b3' b4'] ...      T3: an event (from 3): b3 b4 b5 before it are dead
//   marks          ^1                    ^3                a read of 4 begins at the newest mark <= 4
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/journal_internal.h"

#define MARK_EVERY_BYTES (64u << 10)

static void grow(void **array, size_t *capacity, size_t count, size_t element) {
    if (count < *capacity) return;
    *capacity = *capacity ? *capacity * 2 : 16;
    *array = mem_realloc(*array, *capacity * element);
}

void index_free(struct journal_index *index) {
    mem_free(index->runs);
    mem_free(index->events);
    mem_free(index->marks);
    memset(index, 0, sizeof *index);
}

void index_base(struct journal_index *index, uint64_t base, uint64_t term) {
    ENSURE(index->mark_count == 0 && index->run_count == 0);
    index->start_index = index->last_index = base;
    index->start_term = index->last_term = term;
}

bool index_batch(struct journal_index *index, struct place frame, uint64_t first, uint64_t last, uint64_t term) {
    if (first != index->last_index + 1 || last < first || term < index->last_term) return false;
    if (index->run_count == 0 || index->runs[index->run_count - 1].term != term) {
        grow((void **)&index->runs, &index->run_capacity, index->run_count, sizeof *index->runs);
        index->runs[index->run_count++] = (struct index_run){.first = first, .term = term};
    }
    const struct index_mark *mark = index->mark_count ? &index->marks[index->mark_count - 1] : NULL;
    if (!mark || index->mark_next || mark->place.segment != frame.segment ||
        frame.offset - mark->place.offset >= MARK_EVERY_BYTES) {
        grow((void **)&index->marks, &index->mark_capacity, index->mark_count, sizeof *index->marks);
        index->marks[index->mark_count++] = (struct index_mark){.index = first, .place = frame};
        index->mark_next = false;
    }
    index->last_index = last;
    index->last_term = term;
    return true;
}

static void add_event(struct journal_index *index, struct place frame, uint64_t from) {
    while (index->event_count > 0 && index->events[index->event_count - 1].from >= from) index->event_count--;
    grow((void **)&index->events, &index->event_capacity, index->event_count, sizeof *index->events);
    index->events[index->event_count++] = (struct index_event){.place = frame, .from = from};
    while (index->mark_count > 0 && index->marks[index->mark_count - 1].index >= from) index->mark_count--;
    while (index->run_count > 0 && index->runs[index->run_count - 1].first >= from) index->run_count--;
    index->mark_next = true;
}

bool index_truncate(struct journal_index *index, struct place frame, uint64_t from, uint64_t term_before) {
    if (from == 0 || from > index->last_index + 1) return false;
    add_event(index, frame, from);
    index->last_index = from - 1;
    index->last_term = term_before;
    // Below the start only where older segments, cut behind a snapshot, held what stood between: then the log begins
    // here.
    if (index->last_index < index->start_index) {
        index->start_index = index->last_index;
        index->start_term = term_before;
    }
    return true;
}

bool index_start(struct journal_index *index, struct place frame, uint64_t start, uint64_t term) {
    add_event(index, frame, 0);
    index->start_index = index->last_index = start;
    index->start_term = index->last_term = term;
    return true;
}

uint64_t index_term(const struct journal_index *index, uint64_t at) {
    ENSURE(at >= index->start_index && at <= index->last_index);
    if (at == index->start_index) return index->start_term;
    size_t low = 0, high = index->run_count; // the last run with first <= at
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index->runs[middle].first <= at)
            low = middle + 1;
        else
            high = middle;
    }
    ENSURE(low > 0);
    return index->runs[low - 1].term;
}

uint64_t index_dead_from(const struct journal_index *index, struct place frame) {
    size_t low = 0, high = index->event_count; // the first event behind the frame (one in it stands before its batches)
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (place_compare(index->events[middle].place, frame) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->event_count ? index->events[low].from : UINT64_MAX;
}

const struct index_mark *index_find(const struct journal_index *index, uint64_t at) {
    size_t low = 0, high = index->mark_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index->marks[middle].index <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &index->marks[low - 1] : NULL;
}

static void drop_front(void *array, size_t *count, size_t n, size_t element) {
    if (n == 0) return;
    *count -= n;
    memmove(array, (uint8_t *)array + n * element, *count * element);
}

void index_forget(struct journal_index *index, const struct segment *first) {
    struct place place = {.segment = first->number, .offset = 0};
    size_t n = 0;
    while (n < index->mark_count && place_compare(index->marks[n].place, place) < 0) n++;
    drop_front(index->marks, &index->mark_count, n, sizeof *index->marks);
    for (n = 0; n < index->event_count && place_compare(index->events[n].place, place) < 0;) n++;
    drop_front(index->events, &index->event_count, n, sizeof *index->events);
    if (first->base_index > index->start_index) {
        index->start_index = first->base_index;
        index->start_term = first->base_term;
    }
    // One run from before the start stays: it holds the start's own term for the entries that follow.
    for (n = 0; n + 1 < index->run_count && index->runs[n + 1].first <= index->start_index + 1;) n++;
    drop_front(index->runs, &index->run_count, n, sizeof *index->runs);
    ENSURE(index->start_index <= index->last_index);
}
