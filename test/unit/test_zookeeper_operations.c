// One conversation per operation code of the table, byte by byte.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/support/protocol/zookeeper_room.c"
// clang-format on
#include "protocol/zookeeper/operations.h"
#include <string.h>

static const struct {
    const char *operation, *text;
} conversations[] = {
    {"create", "a> create s/x sdata O i0\n"
               "a< 0 s/x\n"
               "a> create s/x s O i0\n"
               "a< -110\n"
               "a> create s/x/y s O i2\n"
               "a< 0 s/x/y0000000000\n"
               "a> create s/x/ s O i2\n"
               "a< 0 s/x/0000000001\n"
               "a> create s/e s O i1\n"
               "a< 0 s/e\n"
               "a> create s/e/c s O i0\n"
               "a< -108\n"
               "a> create s/none/c s O i0\n"
               "a< -101\n"
               "a> create sx s O i0\n"
               "a< -8\n"
               "a> create s s O i0\n"
               "a< -8\n"
               "a> create s/x/ s O i0\n"
               "a< -8\n"
               "a> create s/. s O i0\n"
               "a< -8\n"
               "a> create s/.. s O i0\n"
               "a< -8\n"
               "a> create x000000022f01 s O i0\n" // a control character
               "a< -8\n"
               "a> create x000000022f00 s O i0\n"
               "a< -8\n"
               "a> create s/ s O i0\n"
               "a< -110\n"
               "a> create s/n s i0 i0\n" // an empty ACL
               "a< -114\n"
               "a> create s/n s null i0\n"
               "a< -114\n"
               "a> create s/n s A31,auth, i0\n" // nobody is logged in
               "a< -114\n"
               "a> create s/n s i1 i31 sauth null i0\n" // as kazoo's CREATOR_ALL_ACL
               "a< -114\n"
               "a> create s/n s i1 i31 null sbob i0\n"
               "a< -114\n"
               "a> create s/n s A31,foo,bar i0\n"
               "a< -114\n"
               "a> create s/n s A31,digest,bob i0\n"
               "a< -114\n"
               "a> create s/n s A31,ip,300.1.1.1 i0\n"
               "a< -114\n"
               "a> create s/n s O i99\n"
               "a< -8\n"
               "a> create s/n s O i5\n"
               "a< -8\n"
               "a> create null s O i0\n"
               "a< -5\n"
               "a> create s/n null O i0\n"
               "a< 0 s/n\n"
               "a> getData s/n b0\n"
               "a< 0 null t22,22,0,0,0,0,0,0,22\n"
               "a> create s/n\n"
               "a< -5\n"},
    {"delete", "a> create s/x s O i0\n"
               "a< 0 s/x\n"
               "a> create s/x/y s O i0\n"
               "a< 0 s/x/y\n"
               "a> delete s/x i-1\n"
               "a< -111\n"
               "a> delete s/x/y i3\n"
               "a< -103\n"
               "a> delete s/x/y i0\n"
               "a< 0\n"
               "a> delete s/x i-1\n"
               "a< 0\n"
               "a> delete s/x i-1\n"
               "a< -101\n"
               "a> delete s/ i-1\n"
               "a< -8\n"
               "a> delete s/zookeeper i-1\n"
               "a< -8\n"
               "a> delete s/zookeeper/config i-1\n"
               "a< -8\n"
               "a> delete s/x\n"
               "a< -5\n"},
    {"exists", "a> create s/x sab O i1\n"
               "a< 0 s/x\n"
               "a> exists s/x b0\n"
               "a< 0 t3,3,0,0,0,a,2,0,3\n"
               "a> exists s/none b0\n"
               "a< -101\n"
               "a> exists x000000022f00 b0\n"
               "a< -8\n"
               "a> exists s/x\n"
               "a< -5\n"
               "a> exists i-5 b0\n"
               "a< -5\n"},
    {"getData", "a> create s/x sab O i0\n"
                "a< 0 s/x\n"
                "a> getData s/x b0\n"
                "a< 0 sab t3,3,0,0,0,0,2,0,3\n"
                "a> getData s/none b0\n"
                "a< -101\n"
                "a> getData s/x/ b0\n"
                "a< -101\n"
                "a> getData s/x b0 xaabbcc\n" // what is behind it is not looked at
                "a< 0 sab t3,3,0,0,0,0,2,0,3\n"
                "a> getData s/x\n"
                "a< -5\n"
                "a> getData i1000 b0\n"
                "a< -5\n"},
    {"setData", "a> create s/x sab O i0\n"
                "a< 0 s/x\n"
                "a> setData s/x sabc i0\n"
                "a< 0 t3,4,1,0,0,0,3,0,3\n"
                "a> setData s/x sabc i0\n"
                "a< -103\n"
                "a> setData s/x null i-1\n"
                "a< 0 t3,6,2,0,0,0,0,0,3\n"
                "a> setData s/none s i-1\n"
                "a< -101\n"
                "a> setData sx s i-1\n"
                "a< -8\n"
                "a> setData s/zookeeper/config s i-1\n"
                "a< -102\n"},
    {"getACL", "a> create s/x s A1,world,anyone;31,digest,bob:pw i0\n"
               "a< 0 s/x\n"
               "a> getACL s/x\n"
               "a< 0 A1,world,anyone;31,digest,bob:x t3,3,0,0,0,0,0,0,3\n"
               "a> getACL s/none\n"
               "a< -101\n"
               "a> getACL s/\n"
               "a< 0 O *\n"
               "a> getACL\n"
               "a< -5\n"},
    {"setACL", "a> create s/x s O i0\n"
               "a< 0 s/x\n"
               "a> setACL s/x A17,world,anyone;1,ip,10.0.0.0/8;17,world,anyone i-1\n"
               "a< 0 t3,3,0,0,1,0,0,0,3\n"
               "a> getACL s/x\n"
               "a< 0 A17,world,anyone;1,ip,10.0.0.0/8 t3,3,0,0,1,0,0,0,3\n"
               "a> setACL s/x O i0\n"
               "a< -103\n"
               "a> setACL s/x i0 i0\n"
               "a< -114\n"
               "a> setACL s/none O i-1\n"
               "a< -101\n"
               "a> setACL s/zookeeper/config O i-1\n"
               "a< -102\n"
               "a> setACL s/x O\n"
               "a< -5\n"},
    {"getChildren", "a> create s/x s O i0\n"
                    "a< 0 s/x\n"
                    "a> getChildren s/x b0\n"
                    "a< 0 i0\n"
                    "a> create s/x/one s O i0\n"
                    "a< 0 s/x/one\n"
                    "a> create s/x/two s O i0\n"
                    "a< 0 s/x/two\n"
                    "a> getChildren s/x b0\n"
                    "a< 0 i2 sone stwo\n"
                    "a> getChildren s/none b0\n"
                    "a< -101\n"},
    {"sync", "a> sync s/x\n"
             "a< 0 s/x\n"
             "a>> sync s/y\n"
             "a.\n"
             "step\n"
             "a< 0 s/y\n"
             "a> sync\n"
             "a< -5\n"},
    {"ping", "a@ -2 ping\n"
             "a< 0\n"},
    {"getChildren2", "a> create s/x s O i0\n"
                     "a< 0 s/x\n"
                     "a> create s/x/one s O i0\n"
                     "a< 0 s/x/one\n"
                     "a> getChildren2 s/x b0\n"
                     "a< 0 i1 sone t3,3,0,1,0,0,0,1,4\n"
                     "a> delete s/x/one i-1\n"
                     "a< 0\n"
                     "a> getChildren2 s/x b0\n"
                     "a< 0 i0 t3,3,0,2,0,0,0,0,5\n"
                     "a> getChildren2 s/none b0\n"
                     "a< -101\n"},
    {"check", "a> create s/x s O i0\n"
              "a< 0 s/x\n"
              "a> check s/x i0\n"
              "a< 0 t3,3,0,0,0,0,0,0,3\n"
              "a> check s/x i7\n"
              "a< -103\n"
              "a> check s/none i-1\n"
              "a< -101\n"
              "a> check s/x\n"
              "a< -5\n"},
    {"multi",
     "a> multi h1,0,-1 s/m s O i0 h15,0,-1 s/m2 s O i0 h19,0,-1 s/mc s O i4 h21,0,-1 s/mt s O i5 l9999 "
     "h5,0,-1 s/m su i-1 h13,0,-1 s/m i1 h2,0,-1 s/m2 i-1 END\n"
     "a< 0 h1,0,0 s/m h15,0,0 s/m2 t3,3,0,0,0,0,0,0,3 h15,0,0 s/mc t3,3,0,0,0,0,0,0,3 h15,0,0 s/mt t3,3,0,0,0,0,0,0,3 "
     "h5,0,0 t3,3,1,0,0,0,1,0,3 h13,0,0 h2,0,0 END\n"},
    {"create2", "a> create2 s/x sab O i0\n"
                "a< 0 s/x t3,3,0,0,0,0,2,0,3\n"
                "a> create2 s/e s O i3\n"
                "a< 0 s/e0000000001 t4,4,0,0,0,a,0,0,4\n"
                "a> create2 s/x s O i0\n"
                "a< -110\n"},
    {"reconfig", "a> reconfig null null sserver.1=a:1:2 l-1\n"
                 "a< -123\n"},
    {"checkWatches", "a> checkWatches s/ i3\n"
                     "a< -121\n"
                     "a> getData s/ b1\n"
                     "a< 0 *\n"
                     "a> checkWatches s/ i3\n"
                     "a< 0\n"
                     "a> checkWatches s/ i2\n"
                     "a< 0\n"
                     "a> checkWatches s/ i1\n"
                     "a< -121\n"
                     "a> checkWatches s/ i0\n"
                     "a< -5\n"
                     "a> checkWatches s/ i6\n"
                     "a< -5\n"},
    {"removeWatches", "a> getData s/ b1\n"
                      "a< 0 *\n"
                      "a> getChildren s/ b1\n"
                      "a< 0 *\n"
                      "a> removeWatches s/ i2\n"
                      "a< 0\n"
                      "a> removeWatches s/ i2\n"
                      "a< -121\n"
                      "a> create s/x s O i0\n"
                      "a! 4 /\n"
                      "a< 0 s/x\n"
                      "a> removeWatches s/ i9\n"
                      "a< -5\n"},
    {"createContainer", "a> createContainer s/x s O i4\n"
                        "a< 0 s/x t3,3,0,0,0,0,0,0,3\n"
                        "a> createContainer s/y s O i0\n"
                        "a< 0 s/y t4,4,0,0,0,0,0,0,4\n"},
    {"deleteContainer", "a> deleteContainer s/x\n"
                        "a< -6\n"},
    {"createTTL", "a> createTTL s/x s O i5 l1000\n"
                  "a< 0 s/x t3,3,0,0,0,0,0,0,3\n"
                  "a> createTTL s/x s O i6 l1000\n"
                  "a< 0 s/x0000000001 t4,4,0,0,0,0,0,0,4\n"
                  "a> createTTL s/y s O i5 l0\n"
                  "a< -8\n"
                  "a> createTTL s/y s O i5 l-1\n"
                  "a< -8\n"
                  "a> createTTL s/y s O i0 l1000\n"
                  "a< -8\n"
                  "a> createTTL s/y s O i5 l1099511627776\n"
                  "a< -8\n"
                  "a> createTTL s/y s O i5\n"
                  "a< -5\n"},
    {"multiRead", "a> create s/x sab O i0\n"
                  "a< 0 s/x\n"
                  "a> multiRead h4,0,-1 s/x b0 h8,0,-1 s/x b0 h4,0,-1 s/none b0 END\n"
                  "a< 0 h4,0,0 sab t3,3,0,0,0,0,2,0,3 h8,0,0 i0 h-1,0,-101 i-101 END\n"
                  "a> multiRead END\n"
                  "a< 0 END\n"
                  "a> multiRead h3,0,-1 s/x b0 END\n"
                  "a< -5\n"
                  "a> multiRead h4,0,-1 s/x b1 END\n" // sets no watch
                  "a< 0 *\n"
                  "a> setData s/x s i-1\n"
                  "a< 0 *\n"},
    {"auth", "a@ -4 auth i0 sdigest sbob:pw\n"
             "a< 0\n"
             "a@ 55 auth i0 sip s1.2.3.4\n" // go-zk numbers it as any request
             "a< 0\n"
             "a> create s/mine s i1 i31 sauth null i0\n"
             "a< 0 s/mine\n"
             "a@ -4 auth i0 sfoo sx\n"
             "a< -115\n"
             "a#\n"},
    {"setWatches", "a> create s/s1 s O i0\n"
                   "a< 0 s/s1\n"
                   "a> create s/s2 s O i0\n"
                   "a< 0 s/s2\n"
                   "a> create s/s3 s O i0\n"
                   "a< 0 s/s3\n"
                   "a> setData s/s1 s1 i-1\n"
                   "a< 0 *\n"
                   "a> delete s/s2 i-1\n"
                   "a< 0\n"
                   "a> create s/s3/k s O i0\n"
                   "a< 0 s/s3/k\n"
                   "a> create s/new s O i0\n"
                   "a< 0 s/new\n"
                   "a@ -8 setWatches l5 i3 s/s1 s/s2 s/s3 i3 s/new s/nn s/s2 i3 s/s3 s/s2 s/s1\n"
                   "a! 3 /s1\n"
                   "a! 2 /s2\n"
                   "a! 1 /new\n"
                   "a! 4 /s3\n"
                   "a! 2 /s2\n"
                   "a< 0\n"
                   "a.\n"
                   "a> create s/nn s O i0\n"
                   "a! 1 /nn\n"
                   "a< 0 s/nn\n"
                   "a> delete s/s1 i-1\n" // the child watch of /s1 stands
                   "a! 2 /s1\n"
                   "a< 0\n"
                   "a@ -8 setWatches l5 null null null\n"
                   "a< -5\n"},
    {"sasl", "a> sasl sabc\n"
             "a< 0 null\n"
             "a> sasl s\n"
             "a< 0 null\n"},
    {"getEphemerals", "a> create s/e1 s O i1\n"
                      "a< 0 s/e1\n"
                      "a> create s/f s O i1\n"
                      "a< 0 s/f\n"
                      "b> create s/e2 s O i1\n"
                      "b< 0 s/e2\n"
                      "a> getEphemerals s/e\n"
                      "a< 0 i1 s/e1\n"
                      "a> getEphemerals s/\n"
                      "a< 0 i2 s/e1 s/f\n"
                      "a> getEphemerals null\n"
                      "a< 0 i2 s/e1 s/f\n"
                      "b> getEphemerals s\n"
                      "b< 0 i1 s/e2\n"},
    {"getAllChildrenNumber", "a> create s/x s O i0\n"
                             "a< 0 s/x\n"
                             "a> create s/x/y s O i0\n"
                             "a< 0 s/x/y\n"
                             "a> create s/x/y/z s O i0\n"
                             "a< 0 s/x/y/z\n"
                             "a> getAllChildrenNumber s/x\n"
                             "a< 0 i2\n"
                             "a> getAllChildrenNumber s/none\n"
                             "a< -101\n"},
    {"setWatches2", "a> create s/s1 s O i0\n"
                    "a< 0 s/s1\n"
                    "a> setData s/s1 s i-1\n"
                    "a< 0 *\n"
                    "a@ -8 setWatches2 l3 i1 s/s1 i1 s/nn i1 s/s1 i1 s/p i1 s/r\n"
                    "a! 3 /s1\n"
                    "a< 0\n"
                    "a> create s/p s O i0\n"
                    "a! 1 /p\n"
                    "a< 0 s/p\n"
                    "a> create s/p/k s O i0\n"
                    "a! 4 /p\n"
                    "a< 0 s/p/k\n"
                    "a> create s/r s O i0\n"
                    "a! 1 /r\n"
                    "a< 0 s/r\n"
                    "a> create s/r/k s O i0\n"
                    "a! 1 /r/k\n"
                    "a< 0 s/r/k\n"},
    {"addWatch", "a> addWatch s/w i0\n"
                 "a< 0 i0\n"
                 "a> addWatch s/w i1\n"
                 "a< 0 i0\n"
                 "a> addWatch s/w i2\n"
                 "a< -5\n"
                 "a> addWatch s/w\n"
                 "a< -5\n"},
    {"whoAmI", "a> whoAmI\n"
               "a< 0 i1 sip s127.0.0.1\n"
               "a@ -4 auth i0 sdigest sbob:pw\n"
               "a< 0\n"
               "a> whoAmI\n"
               "a< 0 i2 sip s127.0.0.1 sdigest sbob\n"},
    {"createSession", "a> createSession\n"
                      "a< -6\n"},
    {"closeSession", "a> create s/e s O i1\n"
                     "a< 0 s/e\n"
                     "a> exists s/e b1\n"
                     "a< 0 *\n"
                     "a>> closeSession\n"
                     "a.\n"
                     "step\n"
                     "a! 2 /e\n"
                     "a< 0\n"
                     "a#\n"
                     "b> exists s/e b0\n"
                     "b< -101\n"},
};

static void test_every_operation(void **state) {
    for (size_t i = 0; i < sizeof conversations / sizeof conversations[0]; i++) {
        struct script script;
        print_message("           %s\n", conversations[i].operation);
        script_open(&script, NULL);
        script_run(&script, conversations[i].text);
        script_close(&script);
    }
}

static void test_no_operation_is_missing(void **state) {
#define X(name, code, kind, tag, handler) #name,
    static const char *const names[] = {ZOOKEEPER_OPERATIONS(X)};
#undef X
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof conversations / sizeof conversations[0]; k++)
            if (strcmp(conversations[k].operation, names[i]) == 0) found = true;
        if (!found) fail_msg("no conversation for %s", names[i]);
    }
    assert_int_equal(sizeof names / sizeof names[0], sizeof conversations / sizeof conversations[0]);
}

static void test_unknown_operation_is_unimplemented(void **state) {
    struct script script;
    script_open(&script, NULL);
    script_run(&script, "a> 77\n"
                        "a< -6\n"
                        "a> 10\n"
                        "a< -6\n"
                        "a> -1\n"
                        "a< -6\n"
                        "a> 0\n"
                        "a< -6\n"
                        "a@ -2 ping\n"
                        "a< 0\n");
    script_close(&script);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation),
        cmocka_unit_test(test_no_operation_is_missing),
        cmocka_unit_test(test_unknown_operation_is_unimplemented),
    };
    return cmocka_run_group_tests_name("zookeeper_operations", tests, NULL, NULL);
}
