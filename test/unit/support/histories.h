// Histories written down as text, one operation a line:
//
//   CLIENT CALL-RETURN OP KEY [VALUE] [FIELD...]
//
// "3-" has no answer and an unknown outcome; "3" alone is call and return (events). VALUE "-" is null. Fields: !
// failed, ? unknown, z=ZXID v=VERSION e=OLD (or e=#VERSION, e=- for null) err=no_node|node_exists|bad_version local in
// out (contains) data child persistent (watches) m=MULTI r=RECEIVED. A client's sequence is its order of lines.
#pragma once
#include "sim/check/check.h"

struct history_case {
    const char *name;
    const char *checker; // that must say so; NULL: all of them together
    enum check_verdict verdict;
    const char *text;
};
void histories_parse(struct record *record, const char *text);
// Every case by itself: fails naming the case, the verdict and what was found. A case that must be ok must be so for
// all checkers.
void histories_run(const struct history_case *cases, size_t count);
