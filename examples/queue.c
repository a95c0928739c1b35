// A queue with keys: messages of one key are read in their order, one at a time, by however many consumers.
//
//     cc queue.c $(pkg-config --cflags --libs parley) -o queue && ./queue localhost:7450 orders
#include "ask.h"

enum { WAIT_MS = 5000 };

// Pushed once though it may be repeated: the dedup_id says that it is the same.
static bool push(struct parley_client *client, const char *queue, const char *key, const char *body) {
    return done(ask(client, "queue/push", 0, "{\"name\":\"%s\",\"key\":\"%s\",\"body\":\"%s\",\"dedup_id\":\"%s %s\"}",
                    queue, key, body, key, body));
}

// One message, for which it waits. What a consumer that dies has claimed is delivered again, under a larger token.
static bool consume(struct parley_client *client, const char *queue) {
    char *claimed = ask(client, "queue/claim", WAIT_MS, "{\"name\":\"%s\",\"visibility_ms\":30000}", queue);
    long long token = number(claimed, "token");
    const char *body = claimed != NULL ? strstr(claimed, "\"body\":\"") : NULL;
    if (body != NULL) printf("%.*s\n", (int)strcspn(body + 8, "\""), body + 8);
    free(claimed);
    return token > 0 && done(ask(client, "queue/ack", 0, "{\"name\":\"%s\",\"tokens\":[%lld]}", queue, token));
}

int main(int argc, char **argv) {
    struct parley_client *client = open_client(argc, argv);
    const char *queue = argc > 2 ? argv[2] : "orders";
    bool good = client != NULL && push(client, queue, "17", "made") && push(client, queue, "17", "paid") &&
                push(client, queue, "17", "sent");
    for (int i = 0; good && i < 3; i++) good = consume(client, queue);
    parley_close(client);
    return good ? 0 : 1;
}
