// The same program on any system's lock: via URL NAME. docs/locks.md says which URLs there are, and what each lock is
// worth.
#include <parley_via.h>
#include <stdio.h>

static int fail(const char *what, const struct parley_problem *problem) {
    fprintf(stderr, "%s: %s\n", what, problem->text);
    return 1;
}

int main(int argc, char **argv) {
    struct parley_via_options options = {.ttl_ms = 10000};
    struct parley_problem problem;
    struct parley_via *via;
    if (argc != 3) {
        fprintf(stderr, "usage: via URL NAME\n");
        return 2;
    }
    if (parley_via_open(argv[1], argv[2], &options, &via, &problem) != PARLEY_OK) return fail("open", &problem);
    if (parley_via_acquire(via, 5000, &problem) != PARLEY_OK) {
        parley_via_close(via);
        return fail("acquire", &problem);
    }
    // Short work hands its token to the store, if there is one; long work asks parley_via_lost now and then.
    if (parley_via_token(via) != 0)
        printf("held under token %llu\n", (unsigned long long)parley_via_token(via));
    else
        printf("held, without a token: nothing fences a holder that was paused\n");
    bool kept = parley_via_release(via, &problem) == PARLEY_OK; // else it was lost meanwhile
    if (!kept) fail("release", &problem);
    parley_via_close(via);
    return kept ? 0 : 1;
}
