// Campaigns, leads for a while under a fencing token, tells the others its address, and resigns; beside it an observer.
//
//     cc election.c $(pkg-config --cflags --libs parley) -o election && ./election localhost:7450 web
#include <parley.h>
#include <stdio.h>

static struct parley_problem problem;

static void on_lost(void *context, struct parley_lock *lead) {
    char why[256];
    parley_lock_lost_why(lead, why, sizeof why);
    fprintf(stderr, "%s is led by another: %s\n", (const char *)context, why);
}

// What each of the others does, in a loop: the newest leader, as soon as it is another one than it has seen.
static bool observe(struct parley_client *client, const char *name, struct parley_leader *seen) {
    if (parley_observe(client, name, 10000, seen, &problem) != PARLEY_OK) return false;
    if (seen->elected)
        printf("%s at %s\n", seen->candidate, seen->value);
    else
        printf("nobody leads\n");
    return true;
}

static bool lead(struct parley_client *client, const char *name) {
    struct parley_leader seen = {0};
    struct parley_lock *handle;
    struct parley_election_options options = {
        .candidate = "host-7", .wait_ms = 10000, .on_lost = on_lost, .context = (void *)name};
    if (parley_campaign(client, name, "10.0.0.7", &options, &handle, &problem) != PARLEY_OK) return false;
    printf("leads under token %llu\n", (unsigned long long)parley_lock_token(handle));
    bool good = observe(client, name, &seen);
    good = good && !parley_lock_lost(handle) && parley_proclaim(handle, "10.0.0.8", &problem) == PARLEY_OK;
    good = good && observe(client, name, &seen);
    good = parley_unlock(handle, &problem) == PARLEY_OK && good; // resigns
    return good && observe(client, name, &seen);
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *name = argc > 2 ? argv[2] : "web";
    struct parley_client *client;
    bool led = parley_open(nodes, NULL, &client, &problem) == PARLEY_OK && lead(client, name);
    if (!led) fprintf(stderr, "%s\n", problem.text);
    parley_close(client);
    return led ? 0 : 1;
}
