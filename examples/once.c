// A payment that is charged once, however often and from wherever it is asked for: run it twice.
//
//     cc once.c $(pkg-config --cflags --libs parley) -o once && ./once localhost:7450 order-17 100
#include <parley.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum parley_run_end charge(void *context, struct parley_run *run, struct parley_result *result) {
    const char *amount = context;
    if (parley_run_attempt(run) > 1) { // one before has died, perhaps behind the charge: look at the account first
        fprintf(stderr, "attempt %u\n", parley_run_attempt(run));
    }
    printf("charges %s under token %llu\n", amount, (unsigned long long)parley_run_token(run));
    if (parley_run_lost(run)) return PARLEY_RUN_AGAIN; // before the point of no return
    char receipt[64];
    int len = snprintf(receipt, sizeof receipt, "receipt of %s", amount);
    result->status = 201;
    result->body_bytes = (size_t)len;
    result->body = malloc((size_t)len);
    if (result->body == NULL) return PARLEY_RUN_AGAIN;
    memcpy(result->body, receipt, (size_t)len);
    return PARLEY_RUN_DONE;
}

int main(int argc, char **argv) {
    const char *nodes = argc > 1 ? argv[1] : "localhost:7450", *key = argc > 2 ? argv[2] : "order-17";
    const char *amount = argc > 3 ? argv[3] : "100";
    struct parley_client *client;
    struct parley_problem problem;
    struct parley_result result;
    if (parley_open(nodes, NULL, &client, &problem) != PARLEY_OK) {
        fprintf(stderr, "%s\n", problem.text);
        return 1;
    }
    // The amount is the request's fingerprint: the same key with another one is a mistake, and is told so.
    struct parley_once_options options = {.fingerprint = amount, .wait_ms = 10000};
    enum parley_error error = parley_once(client, key, &options, charge, (void *)amount, &result, &problem);
    if (error == PARLEY_OK)
        printf("%u %.*s%s\n", result.status, (int)result.body_bytes, (const char *)result.body,
               result.replayed ? ", from before" : "");
    else
        fprintf(stderr, "%s\n", problem.text);
    free(result.body);
    parley_close(client);
    return error == PARLEY_OK ? 0 : 1;
}
