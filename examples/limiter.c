// Five calls at once, then one each ten seconds, over all processes and nodes: whoever is refused is told when to come
// again. And at most two at a time, each under a permit that ends with the process.
//
//     cc limiter.c $(pkg-config --cflags --libs parley) -o limiter && ./limiter localhost:7450 api
#include "ask.h"

int main(int argc, char **argv) {
    struct parley_client *client = open_client(argc, argv);
    const char *name = argc > 2 ? argv[2] : "api";
    char session[PARLEY_SESSION_BYTES];
    int allowed = 0;
    long long retry_ms = 0, permits[3];
    if (client == NULL || parley_session(client, session, NULL) != PARLEY_OK) return 1;
    for (int i = 0; i < 8; i++) {
        char *answer =
            ask(client, "limiter/take", 0,
                "{\"name\":\"%s\",\"algorithm\":\"token-bucket\",\"rate\":6,\"window_ms\":60000,\"burst\":5}", name);
        bool yes = answer != NULL && strstr(answer, "\"allowed\":true") != NULL;
        allowed += yes;
        if (!yes) retry_ms = number(answer, "retry_after_ms");
        free(answer);
    }
    for (int i = 0; i < 3; i++)
        permits[i] = number_of(ask(client, "limiter/take", 0,
                                   "{\"name\":\"%s jobs\",\"algorithm\":\"concurrency\",\"rate\":2,\"session\":\"%s\"}",
                                   name, session),
                               "token");
    bool back = done(ask(client, "limiter/release", 0, "{\"name\":\"%s jobs\",\"token\":%lld,\"session\":\"%s\"}", name,
                         permits[0], session));
    bool good = allowed == 5 && retry_ms > 0 && permits[0] > 0 && permits[1] > 0 && permits[2] <= 0 && back;
    if (good) printf("%d of 8 calls allowed; 2 of 3 jobs at once\n", allowed);
    parley_close(client);
    return good ? 0 : 1;
}
