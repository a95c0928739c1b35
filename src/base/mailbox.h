// Messages from any thread to one: a push is one atomic exchange loop, a take empties it all at once, oldest first (per
// sender, order holds). Waking the receiver is the caller's (io_wake): push says whether the box was empty.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct mail { // embedded in the message
    struct mail *next;
};
struct mailbox {
    _Atomic(struct mail *) newest;
};
void mailbox_init(struct mailbox *m);
bool mailbox_push(struct mailbox *m, struct mail *mail); // true: it was empty, so the receiver must be woken
struct mail *mailbox_take(struct mailbox *m);            // a list through `next`, oldest first; NULL when empty
