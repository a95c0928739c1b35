// Campaigns, leads for a while under a fencing token, tells the others its address, and resigns. What has no function
// of its own in libparley is one parley_call each.
//
//     cc election.c $(pkg-config --cflags --libs parley) -o election && ./election localhost:7450 web
#include <parley.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_MS 10000 // keepalives are due every quarter of it; the work below takes less

static struct parley_problem problem;

// The answer's text, to be freed; NULL after a failure. All of these may be repeated: a campaign because the candidate
// is the same, the others by their nature.
static char *call(struct parley_client *client, const char *operation, const char *body) {
    char *answer = NULL;
    if (parley_call(client, operation, body, true, &answer, &problem) != PARLEY_OK)
        fprintf(stderr, "%s: %s\n", operation, problem.text);
    return answer;
}

static bool done(char *answer) {
    free(answer);
    return answer != NULL;
}

static bool lead(struct parley_client *client, const char *name, const char *session) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"session\":\"%s\",\"candidate\":\"c\",\"value\":\"10.0.0.7\",\"wait_ms\":4000}", name,
             session);
    char *answer = call(client, "election/campaign", body);
    const char *at = answer != NULL ? strstr(answer, "\"token\":") : NULL;
    unsigned long long token = at != NULL ? strtoull(at + 8, NULL, 10) : 0;
    if (!done(answer) || token == 0) return false;
    bool valid = false;
    for (int i = 0; i < 3; i++) { // a store would refuse smaller tokens than it has seen
        snprintf(body, sizeof body, "{\"session\":\"%s\"}", session);
        if (!done(call(client, "session/keepalive", body))) return false;
        if (parley_verify(client, name, token, &valid, &problem) != PARLEY_OK || !valid) return false;
    }
    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"session\":\"%s\",\"candidate\":\"c\",\"token\":%llu,\"value\":\"moving\"}", name,
             session, token);
    if (!done(call(client, "election/proclaim", body))) return false;
    printf("leads under token %llu\n", token);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"session\":\"%s\",\"candidate\":\"c\",\"token\":%llu}", name,
             session, token);
    return done(call(client, "election/resign", body));
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *name = argc > 2 ? argv[2] : "web";
    struct parley_client *client;
    char body[128], session[96] = "";
    if (parley_open(nodes, NULL, &client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    snprintf(body, sizeof body, "{\"ttl_ms\":%d}", TTL_MS);
    char *answer = call(client, "session/create", body);
    const char *at = answer != NULL ? strstr(answer, "\"session\":\"") : NULL;
    bool led = at != NULL && sscanf(at + 11, "%95[^\"]", session) == 1 && lead(client, name, session);
    free(answer);
    snprintf(body, sizeof body, "{\"session\":\"%s\"}", session);
    if (session[0] != 0) done(call(client, "session/close", body)); // with all that it still holds
    parley_close(client);
    return led ? 0 : 1;
}
