// Orders' events in order: the calls of one order run one after the other, different orders in parallel.
//
//     cc executor.c $(pkg-config --cflags --libs parley) -o executor && ./executor
#include <parley.h>
#include <stdio.h>

enum { ORDERS = 5, EVENTS = 4 };
static const char *const names[EVENTS] = {"created", "paid", "packed", "sent"};

struct order {
    int number, at; // `at` needs no mutex: two calls of one order never run at once
    bool mixed_up;
};
struct event {
    struct order *order;
    int what;
};

static void handle(void *context) {
    struct event *event = context;
    event->order->mixed_up |= event->what != event->order->at;
    event->order->at++;
    printf("order %d %s\n", event->order->number, names[event->what]);
}

int main(void) {
    struct parley_executor *executor;
    struct order orders[ORDERS] = {0};
    struct event events[ORDERS][EVENTS];
    if (parley_executor_open(3, &executor) != PARLEY_OK) return 1;
    for (int i = 0; i < ORDERS; i++) orders[i].number = i + 1;
    for (int what = 0; what < EVENTS; what++) {
        for (int i = 0; i < ORDERS; i++) {
            events[i][what] = (struct event){&orders[i], what};
            parley_executor_submit(executor, &i, sizeof i, handle, &events[i][what]);
        }
    }
    parley_executor_close(executor); // after all of them have run
    for (int i = 0; i < ORDERS; i++)
        if (orders[i].mixed_up || orders[i].at != EVENTS) return 1;
    return 0;
}
