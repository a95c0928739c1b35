// Conversations of ZooKeeper clients with a fake node, as text:
//
//   a> create s/x s O i0     client a (connected at its first use) sends this operation, and all that was handed over
//   is applied a>> getData s/x b0       the same, but nothing is applied yet;  step: now it is a< 0 s/x a's next packet
//   is the reply to its oldest unanswered request, with this error and exactly this body a< -101@5                its
//   header's zxid is 5; else it is the last one applied a! 3 /x                  a's next packet is a watch event a.
//   nothing more came for a;   a# it was closed a@ -4 auth ...           sends with this xid
//
// Words of a body: iN int, lN long, bN byte, sTEXT string, null (-1), O open ACL, A31,scheme,id;... ACL, hTYPE,DONE,ERR
// multi header, END, xHEX raw, tCZXID,MZXID,VERSION,CVERSION,AVERSION,OWNER,LENGTH,CHILDREN,PZXID a Stat (OWNER: 0 or a
// client's letter), * anything.
#pragma once
#include "test/unit/support/protocol/fake_service.h"

#define SCRIPT_CLIENTS 8
struct script_request {
    int32_t xid;
    bool zero_zxid;
};
struct script {
    struct fake *fake;
    struct client *clients[SCRIPT_CLIENTS];
    int32_t next_xid[SCRIPT_CLIENTS];
    struct ring unanswered[SCRIPT_CLIENTS];
    uint64_t sessions[SCRIPT_CLIENTS]; // as shown
    uint8_t passwords[SCRIPT_CLIENTS][16];
    const char *where; // the line, for messages
};
void script_open(struct script *script, const void *settings);
void script_close(struct script *script);
void script_run(struct script *script, const char *text); // fails the cmocka test at the first line that does not hold
void script_encode(struct script *script, struct writer *out, const char *words);
struct client *script_client(struct script *script, char letter); // connects it if it is not
// A connect request; gives the length of the answer's frame (0: none came), the answer stays in the client's output
// behind 4 bytes.
void connect_bytes(struct writer *out, uint64_t last_zxid, uint32_t timeout_ms, uint64_t session,
                   const uint8_t password[16], int read_only);
bool script_take(struct client *client, struct writer *frame); // the next whole frame out of the output
