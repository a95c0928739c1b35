// Two members begin a round together and end it together; a latch lets one wait until others have done their part.
//
//     cc barrier.c $(pkg-config --cflags --libs parley) -o barrier && ./barrier localhost:7450 round
#include "ask.h"
#include <pthread.h>

enum { MEMBERS = 2, WAIT_MS = 10000 };

static struct parley_client *client; // both members' here; in life each is a process of its own
static const char *name;

static void *member(void *context) {
    const char *who = context;
    char session[PARLEY_SESSION_BYTES]; // it answers for the members: if this process dies, they have left
    if (parley_session(client, session, NULL) != PARLEY_OK) return NULL;
    long long round = number_of(ask(client, "barrier/enter", WAIT_MS,
                                    "{\"name\":\"%s\",\"member\":\"%s\",\"session\":\"%s\",\"members\":%d}", name, who,
                                    session, MEMBERS),
                                "round");
    if (round < 0) return NULL;
    // All of them are here. Each does its part, tells the latch, and leaves when the others do.
    bool counted =
        done(ask(client, "latch/count_down", 0, "{\"name\":\"%s\",\"request_id\":\"%s-%lld\"}", name, who, round));
    bool left =
        done(ask(client, "barrier/leave", WAIT_MS,
                 "{\"name\":\"%s\",\"member\":\"%s\",\"session\":\"%s\",\"round\":%lld}", name, who, session, round));
    return counted && left ? context : NULL;
}

int main(int argc, char **argv) {
    static char one[] = "one", two[] = "two";
    pthread_t threads[MEMBERS];
    void *ended[MEMBERS];
    name = argc > 2 ? argv[2] : "round";
    client = open_client(argc, argv);
    if (client == NULL || !done(ask(client, "latch/set", 0, "{\"name\":\"%s\",\"count\":%d}", name, MEMBERS))) return 1;
    if (pthread_create(&threads[0], NULL, member, one) != 0 || pthread_create(&threads[1], NULL, member, two) != 0)
        return 1;
    long long left = number_of(ask(client, "latch/wait", WAIT_MS, "{\"name\":\"%s\"}", name), "count");
    for (int i = 0; i < MEMBERS; i++) pthread_join(threads[i], &ended[i]);
    bool good = left == 0 && ended[0] != NULL && ended[1] != NULL;
    if (good) printf("%d members have done their part\n", MEMBERS);
    parley_close(client);
    return good ? 0 : 1;
}
