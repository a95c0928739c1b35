// Numbers that are never given twice: a block of fast ones, and an invoice's, which has no gap and may be asked for
// again.
//
//     cc sequence.c $(pkg-config --cflags --libs parley) -o sequence && ./sequence localhost:7450 numbers
#include "ask.h"

int main(int argc, char **argv) {
    struct parley_client *client = open_client(argc, argv);
    const char *name = argc > 2 ? argv[2] : "numbers";
    if (client == NULL) return 1;
    // A hundred at once, to be given out in this process. A retry gets others: these may have gaps.
    char *block = ask(client, "sequence/next", 0, "{\"name\":\"%s\",\"count\":100}", name);
    long long first = number(block, "first"), last = number(block, "last");
    free(block);
    // What an order's invoice is numbered with: asked for twice under the order's name, it is the same number.
#define INVOICE "{\"name\":\"%s invoices\",\"key\":\"order 17\"}"
    long long number_17 = number_of(ask(client, "sequence/next", 0, INVOICE, name), "first");
    long long again = number_of(ask(client, "sequence/next", 0, INVOICE, name), "first");
    bool good = first > 0 && last == first + 99 && number_17 > 0 && again == number_17;
    if (good) printf("%lld to %lld; invoice %lld\n", first, last, number_17);
    parley_close(client);
    return good ? 0 : 1;
}
