// What may happen once only, or only from a certain state: a form's one-time token, an order's states, a stock that
// does not go below zero. Each is one call that says yes to one of all who try.
//
//     cc guard.c $(pkg-config --cflags --libs parley) -o guard && ./guard localhost:7450 order-17
#include "ask.h"

// false for whoever comes second: no failure, so nothing is printed.
__attribute__((format(printf, 3, 4))) static bool may(struct parley_client *client, const char *operation,
                                                      const char *format, ...) {
    char body[1024], *answer;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    bool yes = parley_call(client, operation, body, true, &answer, NULL) == PARLEY_OK;
    free(answer);
    return yes;
}

int main(int argc, char **argv) {
    struct parley_client *client = open_client(argc, argv);
    const char *order = argc > 2 ? argv[2] : "order-17";
    char token[64] = "";
    if (client == NULL) return 1;

    char *issued = ask(client, "guard/token_issue", 0, "{\"purpose\":\"buy\"}"); // goes into the form
    if (issued != NULL) sscanf(issued, "{\"tokens\":[\"%63[0-9a-f]", token);
    free(issued);
    bool first = may(client, "guard/token_consume", "{\"token\":\"%s\",\"purpose\":\"buy\"}", token);
    bool second = may(client, "guard/token_consume", "{\"token\":\"%s\",\"purpose\":\"buy\"}", token);

    // A change that may be asked for again names its request; another one finds that the state has changed.
    bool made = may(client, "guard/entity_transition", "{\"entity\":\"%s\",\"to\":\"new\",\"request\":\"r1\"}", order);
    bool paid = may(client, "guard/entity_transition",
                    "{\"entity\":\"%s\",\"from\":\"new\",\"to\":\"paid\",\"request\":\"r2\"}", order);
    bool twice = may(client, "guard/entity_transition",
                     "{\"entity\":\"%s\",\"from\":\"new\",\"to\":\"paid\",\"request\":\"r3\"}", order);

    bool filled =
        may(client, "guard/counter_add", "{\"deltas\":{\"%s stock\":3},\"request\":\"%s fill\"}", order, order);
    bool taken = may(client, "guard/counter_add", "{\"deltas\":{\"%s stock\":-2},\"request\":\"%s r4\"}", order, order);
    bool below = may(client, "guard/counter_add", "{\"deltas\":{\"%s stock\":-2},\"request\":\"%s r5\"}", order, order);

    bool good = first && !second && made && paid && !twice && filled && taken && !below;
    if (good) printf("sent once, paid once, and what is not there is not sold\n");
    parley_close(client);
    return good ? 0 : 1;
}
