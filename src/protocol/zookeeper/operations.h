// Every operation code of ZooKeeper 3.8.0 that a client may put on the wire, in one table. It drives decoding,
// dispatch, names, statistics, the unit test's coverage and docs/zookeeper.md (a test compares the page with this
// table).
//
// X(name, code, kind, tag, handler)
//   kind    WRITE    handler encodes a command; it goes through the log
//           READ     handler answers from what this node has applied, in its place of the connection's order
//           ARRIVAL  handler acts when the request arrives; the answer keeps its place
//           SYNC     waits for a ReadIndex round
//           CLOSE    ends the session
//           REFUSED  handler is the error code it is always answered with
//   tag     what `cons` shows as the last operation (lop=)
#pragma once

#define ZOOKEEPER_OPERATIONS(X)                                                                                        \
    X(create, 1, WRITE, "CREA", zookeeper_write_create)                                                                \
    X(delete, 2, WRITE, "DELE", zookeeper_write_delete)                                                                \
    X(exists, 3, READ, "EXIS", zookeeper_read_exists)                                                                  \
    X(getData, 4, READ, "GETD", zookeeper_read_data)                                                                   \
    X(setData, 5, WRITE, "SETD", zookeeper_write_set_data)                                                             \
    X(getACL, 6, READ, "GETA", zookeeper_read_acl)                                                                     \
    X(setACL, 7, WRITE, "SETA", zookeeper_write_set_acl)                                                               \
    X(getChildren, 8, READ, "GETC", zookeeper_read_children)                                                           \
    X(sync, 9, SYNC, "SYNC", zookeeper_read_sync)                                                                      \
    X(ping, 11, READ, "PING", zookeeper_read_ping)                                                                     \
    X(getChildren2, 12, READ, "GETC", zookeeper_read_children2)                                                        \
    X(check, 13, WRITE, "CHEC", zookeeper_write_check)                                                                 \
    X(multi, 14, WRITE, "MULT", zookeeper_write_multi)                                                                 \
    X(create2, 15, WRITE, "CREA", zookeeper_write_create)                                                              \
    X(reconfig, 16, REFUSED, "RECO", ZOOKEEPER_RECONFIGDISABLED)                                                       \
    X(checkWatches, 17, READ, "CHKW", zookeeper_read_check_watches)                                                    \
    X(removeWatches, 18, READ, "REMW", zookeeper_read_remove_watches)                                                  \
    X(createContainer, 19, WRITE, "CREA", zookeeper_write_create_container)                                            \
    X(deleteContainer, 20, REFUSED, "DELE", ZOOKEEPER_UNIMPLEMENTED)                                                   \
    X(createTTL, 21, WRITE, "CREA", zookeeper_write_create_ttl)                                                        \
    X(multiRead, 22, READ, "MLTR", zookeeper_read_multi)                                                               \
    X(auth, 100, ARRIVAL, "AUTH", zookeeper_arrival_auth)                                                              \
    X(setWatches, 101, READ, "SETW", zookeeper_read_set_watches)                                                       \
    X(sasl, 102, ARRIVAL, "SASL", zookeeper_arrival_sasl)                                                              \
    X(getEphemerals, 103, READ, "GETE", zookeeper_read_ephemerals)                                                     \
    X(getAllChildrenNumber, 104, READ, "GETACN", zookeeper_read_children_count)                                        \
    X(setWatches2, 105, READ, "STW2", zookeeper_read_set_watches2)                                                     \
    X(addWatch, 106, READ, "ADDW", zookeeper_read_add_watch)                                                           \
    X(whoAmI, 107, READ, "HOMI", zookeeper_read_who_am_i)                                                              \
    X(createSession, -10, REFUSED, "SESS", ZOOKEEPER_UNIMPLEMENTED)                                                    \
    X(closeSession, -11, CLOSE, "CLOS", zookeeper_read_nothing)

// Error codes that this room gives by itself (the tree's own are in model/tree/tree.h).
#define ZOOKEEPER_ERRORS(X)                                                                                            \
    X(SYSTEMERROR, -1)                                                                                                 \
    X(MARSHALLINGERROR, -5)                                                                                            \
    X(UNIMPLEMENTED, -6)                                                                                               \
    X(BADARGUMENTS, -8)                                                                                                \
    X(NONODE, -101)                                                                                                    \
    X(NOAUTH, -102)                                                                                                    \
    X(SESSIONEXPIRED, -112)                                                                                            \
    X(INVALIDACL, -114)                                                                                                \
    X(AUTHFAILED, -115)                                                                                                \
    X(NOTREADONLY, -119)                                                                                               \
    X(NOWATCHER, -121)                                                                                                 \
    X(RECONFIGDISABLED, -123)
enum zookeeper_error {
    ZOOKEEPER_OK = 0,
#define X(name, code) ZOOKEEPER_##name = code,
    ZOOKEEPER_ERRORS(X)
#undef X
};

enum zookeeper_operation { // places in the table
#define X(name, code, kind, tag, handler) ZOOKEEPER_OP_##name,
    ZOOKEEPER_OPERATIONS(X)
#undef X
        ZOOKEEPER_OP_COUNT
};
