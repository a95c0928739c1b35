// Transcripts: scenarios that a reader follows line by line.
//
//   # why                          a comment
//   @raft                          the room that the commands below belong to (once, before the first command)
//   > propose 1 2                  a command
//   1 leader t1 log 1-3:t1 ...     what it showed, until the next empty line, comment or command
//
// The runner plays the commands and compares; `--rewrite` puts what it saw in place of what was expected, so a change
// of behaviour is read as a diff of the transcript.
#pragma once
#include <stdbool.h>
#include <stdio.h>

struct room {
    const char *name;
    void *(*open)(void);
    // Plays one command; what it shows goes to `out` in whole lines. false: not understood.
    bool (*command)(void *room, char *line, FILE *out);
    void (*close)(void *room);
};
extern const struct room raft_room, zookeeper_room, lock_room, barrier_room, config_room, topic_room, naming_room;

#define WORDS_MAX 16
int split_words(char *line, char *words[WORDS_MAX]); // by spaces; gives the count
