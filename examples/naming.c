// Registers an instance of a service, keeps it alive, and asks which instance to call for a customer.
//
//     cc naming.c $(pkg-config --cflags --libs parley) -o naming && ./naming localhost:7450 web 10.0.0.7:80
//
// The instance has a time to live of ten seconds: a process that dies is gone by then, one that ends orderly at once.
#include <parley.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A field of a flat JSON answer, as text; a program of your own uses its JSON library. NULL: there is none.
static const char *field(const char *json, const char *name, char out[256]) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = json != NULL ? strstr(json, key) : NULL;
    if (at == NULL) return NULL;
    at += strlen(key);
    at += *at == '"';
    snprintf(out, 256, "%.*s", (int)strcspn(at, "\",}"), at);
    return out;
}

static char *ask(struct parley_client *client, const char *operation, const char *body) {
    struct parley_problem problem;
    char *answer;
    // Each of these may be done twice: the newest registration of an id takes the place of the one before.
    if (parley_call(client, operation, body, true, &answer, &problem) == PARLEY_OK) return answer;
    fprintf(stderr, "%s: %s\n", operation, problem.text);
    return NULL;
}

static bool stay(struct parley_client *client, const char *service, const char *address) {
    char body[1024], number[256], target[256];
    snprintf(body, sizeof body, "{\"service\": \"%s\", \"address\": \"%s\", \"ttl_ms\": 10000}", service, address);
    char *answer = ask(client, "registry/register", body);
    bool good = field(answer, "registration", number) != NULL;
    free(answer);
    for (int customer = 1; good && customer <= 3; customer++) {
        // A service does this every few seconds. not-found or old-registration: it registers again, or stops.
        snprintf(body, sizeof body, "{\"service\": \"%s\", \"id\": \"%s\", \"registration\": %s}", service, address,
                 number);
        answer = ask(client, "registry/renew", body);
        good = answer != NULL;
        free(answer);
        snprintf(body, sizeof body, "{\"service\": \"%s\", \"strategy\": \"hash\", \"key\": \"customer %d\"}", service,
                 customer);
        answer = ask(client, "registry/pick", body);
        good = good && field(answer, "address", target) != NULL;
        if (good) printf("customer %d is served by %s\n", customer, target);
        free(answer);
    }
    snprintf(body, sizeof body, "{\"service\": \"%s\", \"id\": \"%s\"}", service, address);
    free(ask(client, "registry/deregister", body));
    return good;
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *service = argc > 2 ? argv[2] : "web";
    struct parley_client *client;
    struct parley_problem problem;
    if (parley_open(nodes, NULL, &client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    bool good = stay(client, service, argc > 3 ? argv[3] : "10.0.0.7:80");
    parley_close(client);
    return good ? 0 : 1;
}
