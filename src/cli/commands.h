// The commands of `parley`, each with its main function, which gets argv beginning with its own name and gives the exit
// code.
#pragma once

#define COMMANDS(X)                                                                                                    \
    X(server, "run a node")                                                                                            \
    X(dev, "run a whole cluster on this machine, for trying out")                                                      \
    X(demo, "show how something usually goes wrong, and how it holds here")                                            \
    X(status, "show nodes, roles and lag of a running cluster")                                                        \
    X(member, "list, add, promote or remove members")                                                                  \
    X(leader, "move leadership to another node")                                                                       \
    X(cluster, "form a new cluster without the members that are missing")                                              \
    X(time, "show the cluster's Unix time, or step it to the clocks")                                                  \
    X(lock, "run a command while a lock is held; show locks, or break one")                                            \
    X(elect, "run commands as an election's leader or follower; show who leads")                                       \
    X(session, "list sessions, show what one holds, or end one")                                                       \
    X(barrier, "run a command inside of a double barrier; set, count down and await latches")                          \
    X(once, "run a command once for a key; who comes later gets its output and exit code")                             \
    X(sequence, "give numbers that are given once; show, make or set sequences")                                       \
    X(limit, "take of a rate limit or a concurrency limit; show limits")                                               \
    X(queue, "push, claim and acknowledge messages; run a command for each")                                           \
    X(config, "publish, show and release configuration; run a command that is reloaded when it changes")               \
    X(topic, "publish to partitioned topics; run a command for each message, as one of a consumer group")              \
    X(service, "register where a service can be reached; show, watch and pick instances")                              \
    X(template, "render services into the configuration of HAProxy or nginx, again when they change")                  \
    X(zk, "a ZooKeeper shell, or one command of it")                                                                   \
    X(backup, "write a consistent backup of a running node into a file")                                               \
    X(restore, "make a new data folder from a backup")                                                                 \
    X(check, "verify a data folder while no node uses it")                                                             \
    X(recover, "go on with one node after the majority was lost for good")                                             \
    X(bench, "measure a server, or locks of several systems")                                                          \
    X(generate, "print settings, completions or the man page, as packages want them")                                  \
    X(version, "print the version")

#define X(name, about) int name##_main(int argc, char **argv);
COMMANDS(X)
#undef X

struct command_row {
    const char *name, *about;
    int (*main)(int argc, char **argv);
};
extern const struct command_row commands[];
extern const int command_count;
int commands_main(int argc, char **argv); // the whole program
