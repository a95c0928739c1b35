// The search for circles: an owner that waits for a lock waits for those who hold it, and for those queued before it
// that it may not share with. Breadth first from the lock that is asked for, along what the blocking owners wait for
// themselves, until the asking owner turns up. Bounded; beyond the bound no circle is found (and the waiting has its
// time limit).
#include "model/lock/lock_internal.h"
#include <stdio.h>
#include <string.h>

struct step { // `owner` waits for `lock`
    const struct lock_owner *owner;
    const struct lock *lock;
    const struct claim *claim; // its place in the queue; NULL: behind all
    const struct step *before;
};
struct search {
    struct lock_state *state;
    struct lock_owner *asking;
    struct step *steps;
    size_t count, looked_at;
};

static const char *told(struct search *search, const struct step *step, const struct lock_owner *blocker) {
    char text[2048];
    size_t len = 0;
    text[0] = '\0';
    for (; step != NULL && len < sizeof text; step = step->before) {
        int n = snprintf(text + len, sizeof text - len, "%s%.*s waits for %.*s, held by %.*s", len > 0 ? "; " : "",
                         (int)step->owner->len, (const char *)step->owner->text, (int)step->lock->name_len,
                         (const char *)step->lock->name, (int)blocker->len, (const char *)blocker->text);
        len += (size_t)n;
        blocker = step->owner;
    }
    struct bytes kept = arena_copy(&search->state->arena, bytes_of(text, strlen(text) + 1));
    return (const char *)kept.data;
}

static bool blocks(const struct claim *before, enum lock_mode mode) {
    return !(before->mode == LOCK_SHARED && mode == LOCK_SHARED);
}

// Whoever blocks this step: those who wait themselves become steps. Gives the text when the asking owner is among them.
static const char *follow(struct search *search, const struct step *step, enum lock_mode mode,
                          const struct list *claims) {
    for (const struct list *at = claims->next; at != claims; at = at->next) {
        const struct claim *blocker = CONTAINER_OF_CONST(at, struct claim, of_lock);
        if (blocker == step->claim) break;
        if (++search->looked_at > LOCK_DEADLOCK_STEPS_MAX) return NULL;
        if (!blocks(blocker, mode)) continue;
        if (blocker->owner == search->asking) return told(search, step, blocker->owner);
        if (blocker->owner->visited == search->state->searches) continue;
        blocker->owner->visited = search->state->searches;
        for (const struct list *w = blocker->owner->claims.next; w != &blocker->owner->claims; w = w->next) {
            const struct claim *waits = CONTAINER_OF_CONST(w, struct claim, of_owner);
            if (++search->looked_at > LOCK_DEADLOCK_STEPS_MAX) return NULL;
            if (waits->token != 0) continue;
            search->steps[search->count++] = (struct step){blocker->owner, waits->lock, waits, step};
        }
    }
    return NULL;
}

const char *lock_circle(struct lock_state *state, const struct lock *lock, struct lock_owner *owner,
                        enum lock_mode mode) {
    struct search search = {.state = state, .asking = owner};
    search.steps = arena_alloc(&state->arena, (LOCK_DEADLOCK_STEPS_MAX + 2) * sizeof *search.steps);
    search.steps[search.count++] = (struct step){owner, lock, NULL, NULL};
    state->searches++;
    for (size_t i = 0; i < search.count; i++) {
        const struct step *step = &search.steps[i];
        enum lock_mode as = step->claim ? (enum lock_mode)step->claim->mode : mode;
        const char *circle = follow(&search, step, as, &step->lock->holders);
        if (circle == NULL) circle = follow(&search, step, as, &step->lock->waiters);
        if (circle != NULL) return circle;
        if (search.looked_at > LOCK_DEADLOCK_STEPS_MAX) break;
    }
    return NULL;
}
