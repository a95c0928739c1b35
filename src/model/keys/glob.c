// Patterns of KEYS, SCAN, PSUBSCRIBE and ACLs. Without recursion: a star remembers where it began, and a mismatch goes
// back to the newest star only, which is enough, because an earlier star could not match more than a later one.
#include "model/keys/glob.h"
#include <stddef.h>

// One element of the pattern that stands for one byte, at `at` (not a star). Gives what stands behind it.
static size_t one(struct bytes p, size_t at, uint8_t c, bool *match) {
    uint8_t first = p.data[at];
    if (first == '\\' && at + 1 < p.len) {
        *match = p.data[at + 1] == c;
        return at + 2;
    }
    if (first != '[') {
        *match = first == '?' || first == c;
        return at + 1;
    }
    at++;
    bool invert = at < p.len && p.data[at] == '^', found = false;
    if (invert) at++;
    for (; at < p.len && p.data[at] != ']'; at++) { // a class that is not closed ends with the pattern
        if (p.data[at] == '\\' && at + 1 < p.len) {
            at++;
            found |= p.data[at] == c;
        } else if (at + 2 < p.len && p.data[at + 1] == '-') {
            uint8_t low = p.data[at], high = p.data[at + 2];
            found |= low <= high ? c >= low && c <= high : c >= high && c <= low;
            at += 2;
        } else {
            found |= p.data[at] == c;
        }
    }
    *match = found != invert;
    return at < p.len ? at + 1 : at;
}

bool glob_match(struct bytes p, struct bytes text) {
    size_t at = 0, i = 0, star = SIZE_MAX, star_at = 0;
    while (i < text.len) {
        bool match = false;
        size_t next = at;
        if (at < p.len && p.data[at] == '*') {
            star = at++;
            star_at = i;
            continue;
        }
        if (at < p.len) next = one(p, at, text.data[i], &match);
        if (match) {
            at = next;
            i++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            i = ++star_at;
        } else {
            return false;
        }
    }
    while (at < p.len && p.data[at] == '*') at++;
    return at == p.len;
}
