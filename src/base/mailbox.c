#include "base/mailbox.h"

#include <stdatomic.h>

#include "base/assert.h"

// A stack that is only ever emptied whole, so the ABA fault of lock-free stacks cannot arise: nobody pops one node by
// comparing with a pointer that may have come back.

void mailbox_init(struct mailbox *m) {
    atomic_init(&m->newest, NULL);
}

bool mailbox_push(struct mailbox *m, struct mail *mail) {
    ENSURE(mail != NULL);
    struct mail *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (
        !atomic_compare_exchange_weak_explicit(&m->newest, &newest, mail, memory_order_release, memory_order_relaxed));
    return newest == NULL;
}

struct mail *mailbox_take(struct mailbox *m) {
    struct mail *newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest != NULL) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
