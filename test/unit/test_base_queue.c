// base/ring, base/list and base/mailbox: what goes in comes out once, in order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mailbox.h"
#include "base/prng.h"
#include "base/ring.h"

struct element { // of a size that is no power of two
    uint64_t number;
    uint8_t rest[5];
} __attribute__((packed));

static void push(struct ring *r, uint64_t number) {
    struct element *e = ring_push(r);
    static const struct element zero;
    assert_memory_equal(e, &zero, sizeof zero); // zeroed though the slot was used before
    e->number = number;
    memset(e->rest, 0xee, sizeof e->rest);
}

static uint64_t number_at(const struct ring *r, size_t i) {
    return ((struct element *)ring_at(r, i))->number;
}

static void ring_wraps_and_grows(void **state) {
    struct ring r;
    ring_init(&r, sizeof(struct element));
    assert_null(ring_front(&r));
    assert_null(ring_back(&r));
    uint64_t next_in = 0, next_out = 0;
    for (int i = 0; i < 8; i++) push(&r, next_in++);
    assert_int_equal(r.capacity, 8);
    for (int i = 0; i < 100; i++) { // around and around, full, without growing
        assert_int_equal(((struct element *)ring_front(&r))->number, next_out);
        ring_pop(&r);
        next_out++;
        push(&r, next_in++);
    }
    assert_int_equal(r.capacity, 8);
    assert_int_not_equal(r.head, 0); // so the growth now starts from a wrapped ring
    push(&r, next_in++);
    assert_int_equal(r.capacity, 16);
    for (size_t i = 0; i < r.count; i++) assert_int_equal(number_at(&r, i), next_out + i);
    assert_int_equal(((struct element *)ring_back(&r))->number, next_in - 1);
    ring_clear(&r);
    assert_int_equal(r.count, 0);
    assert_null(ring_front(&r));
    ring_free(&r);
    push(&r, 1); // may be used again
    ring_free(&r);
}

static void ring_random_operations_match_two_counters(void **state) {
    // Numbers are pushed in order at the back; after a pop_back the next push takes the same number again.
    struct ring r;
    struct prng random;
    ring_init(&r, sizeof(struct element));
    prng_seed(&random, 31);
    uint64_t first = 0, end = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t kind = prng_below(&random, 7);
        if (kind < 4 && end - first < 700) {
            push(&r, end++);
        } else if (end > first && kind < 6) {
            ring_pop(&r);
            first++;
        } else if (end > first) {
            ring_pop_back(&r);
            end--;
        }
        assert_int_equal(r.count, end - first);
        if (end == first) continue;
        assert_int_equal(number_at(&r, 0), first);
        assert_int_equal(number_at(&r, r.count - 1), end - 1);
        assert_int_equal(number_at(&r, r.count / 2), first + r.count / 2);
    }
    assert_int_equal(r.capacity & (r.capacity - 1), 0);
    ring_free(&r);
}

static void list_keeps_order_and_forgives_a_second_remove(void **state) {
    struct list head, a, b, c;
    list_init(&head);
    list_init(&a);
    assert_true(list_empty(&head));
    list_push_back(&head, &b);
    list_push_back(&head, &c);
    list_push_front(&head, &a);
    assert_ptr_equal(head.next, &a);
    assert_ptr_equal(a.next, &b);
    assert_ptr_equal(b.next, &c);
    assert_ptr_equal(c.next, &head);
    assert_ptr_equal(head.prev, &c);
    assert_ptr_equal(c.prev, &b);
    list_remove(&b);
    list_remove(&b);
    assert_ptr_equal(a.next, &c);
    assert_ptr_equal(c.prev, &a);
    list_remove(&a);
    list_remove(&c);
    assert_true(list_empty(&head));
}

static void mailbox_says_when_it_was_empty(void **state) {
    struct mailbox box;
    struct mail a, b;
    mailbox_init(&box);
    assert_null(mailbox_take(&box));
    assert_true(mailbox_push(&box, &a));
    assert_false(mailbox_push(&box, &b));
    struct mail *taken = mailbox_take(&box);
    assert_ptr_equal(taken, &a);
    assert_ptr_equal(a.next, &b);
    assert_null(b.next);
    assert_null(mailbox_take(&box));
    assert_true(mailbox_push(&box, &a));
}

enum { SENDERS = 4, LETTERS = 50000 };
struct letter {
    struct mail mail;
    uint32_t sender, number;
};
struct sender {
    struct mailbox *box;
    struct letter *letters;
    _Atomic uint64_t *wakes; // pushes that found the box empty
};

static void *send_all(void *context) {
    struct sender *s = context;
    for (int i = 0; i < LETTERS; i++)
        if (mailbox_push(s->box, &s->letters[i].mail)) atomic_fetch_add(s->wakes, 1);
    return NULL;
}

static void mailbox_gets_all_from_four_threads_in_order(void **state) {
    struct mailbox box;
    _Atomic uint64_t wakes = 0;
    mailbox_init(&box);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (uint32_t s = 0; s < SENDERS; s++) {
        senders[s] = (struct sender){&box, malloc(LETTERS * sizeof(struct letter)), &wakes};
        for (uint32_t i = 0; i < LETTERS; i++) senders[s].letters[i] = (struct letter){.sender = s, .number = i};
    }
    for (int s = 0; s < SENDERS; s++) assert_int_equal(pthread_create(&threads[s], NULL, send_all, &senders[s]), 0);
    uint32_t next[SENDERS] = {0}, got = 0;
    uint64_t takes = 0;
    while (got < SENDERS * LETTERS) { // ends only if none is lost; the run's own time limit is the guard
        struct mail *mail = mailbox_take(&box);
        if (mail == NULL) {
            sched_yield();
            continue;
        }
        takes++;
        for (; mail != NULL; mail = mail->next) {
            struct letter *letter = CONTAINER_OF(mail, struct letter, mail);
            assert_int_equal(letter->number, next[letter->sender]);
            next[letter->sender]++;
            got++;
        }
    }
    for (int s = 0; s < SENDERS; s++) {
        pthread_join(threads[s], NULL);
        assert_int_equal(next[s], LETTERS);
        free(senders[s].letters);
    }
    assert_null(mailbox_take(&box));
    assert_int_equal(wakes, takes); // one wake for each filling: none missing, none too many
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_wraps_and_grows),
        cmocka_unit_test(ring_random_operations_match_two_counters),
        cmocka_unit_test(list_keeps_order_and_forgives_a_second_remove),
        cmocka_unit_test(mailbox_says_when_it_was_empty),
        cmocka_unit_test(mailbox_gets_all_from_four_threads_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
