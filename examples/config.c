// Follows a namespace of configuration: prints what this instance shall have, whenever that changes.
//
//     cc config.c $(pkg-config --cflags --libs parley) -o config && ./config localhost:7450 shop zone=a 3
//
// A real program reads the answer with its JSON library; here the revision, by which a watch goes on, is enough.
#include <inttypes.h>
#include <parley.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 3000 }; // below the attempt_ms of the client's options: a watch has to end within it

static uint64_t number_of(const char *answer, const char *key) {
    const char *at = strstr(answer, key);
    return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *name = argc > 2 ? argv[2] : "shop";
    const char *label = argc > 3 ? argv[3] : "zone=a";
    int changes = argc > 4 ? atoi(argv[4]) : 1;
    struct parley_client *client;
    struct parley_problem problem;
    uint64_t revision = 0; // of what we have; 0: nothing yet
    bool good = parley_open(nodes, NULL, &client, &problem) == PARLEY_OK;
    while (good && changes > 0) {
        char body[512], *answer;
        snprintf(body, sizeof body,
                 "{\"name\":\"%s\",\"labels\":[\"%s\"],\"id\":\"instance-1\",\"revision\":%" PRIu64 ",\"wait_ms\":%d}",
                 name, label, revision, WAIT_MS);
        // It may be repeated: a watch changes nothing, and the revision says where to go on.
        good = parley_call(client, "config/watch", body, true, &answer, &problem) == PARLEY_OK;
        if (!good) break;
        uint64_t now = number_of(answer, "\"revision\":");
        if (now != revision) {
            printf("version %" PRIu64 ": %s\n", number_of(answer, "\"version\":"), answer);
            fflush(stdout);
            revision = now;
            changes--;
        }
        free(answer);
    }
    if (!good) fprintf(stderr, "%s\n", problem.text);
    parley_close(client);
    return good ? 0 : 1;
}
